"""Error of an agent's forward model at fixed poses, and how much of what it had learned it has lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.component import State
from pamiq_exp.interaction import Array, Turn
from pamiq_exp.metrics.buffered import BufferedMetric, Rows
from pamiq_exp.metrics.coverage import FirstEntries
from pamiq_exp.metrics.pose_sweep import EncoderLike, PoseSweep, Ridge, numbers

Numbers = NDArray[np.float64]


class Forgetting(BufferedMetric):
    """Mean rise of a room's model error above its minimum so far, over rooms that were entered early.

    F(T) = mean of e_room(T) - min_t e_room(t) over the rooms entered in the first `early` part of the run.

    Args:
        early: Share of the run so far in which a room must have been entered first.
    """

    title, needs = "forgetting", ("room",)
    columns = needs

    def __init__(self, early: float = 0.2) -> None:
        super().__init__()
        self._early = early
        self._entries = FirstEntries()
        self._minima: dict[int, float] = {}

    def count(self, rows: Rows) -> None:
        self._entries.enter(rows["room"])

    def metrics(self) -> dict[str, float]:
        return {}

    def measure(self, step: int, errors: dict[int, float]) -> float | None:
        """Return F after the errors of all rooms at a step, `step` in environment steps; None while no room counts."""
        self._catch_up()
        for room, error in errors.items():
            self._minima[room] = min(error, self._minima.get(room, error))
        known = [
            room for room, entered in self._entries.first.items() if entered <= self._early * step and room in errors
        ]
        if not known:
            return None
        return sum(errors[room] - self._minima[room] for room in known) / len(known)

    def counted_state(self) -> State:
        return {
            "rooms": np.array(list(self._minima), dtype=np.int64),
            "minima": np.array(list(self._minima.values())),
        }

    def load_state(self, state: State) -> None:
        self._minima = dict(zip(np.asarray(state["rooms"]).tolist(), np.asarray(state["minima"]).tolist(), strict=True))


SIDE = 16
"""Pixels a side of the pictures on which errors are measured; views are averaged down to them."""


class DynamicsLike(Protocol):
    """What a forward model must offer."""

    def initial_state(self, batch: int, device: torch.device) -> Tensor:
        """Return the initial recurrent state."""

    def __call__(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted next latent vector and the next recurrent state."""


def find_dynamics(turn: Turn, name: str) -> DynamicsLike | None:
    """Return the agent's forward model of that name; None if it has none."""
    try:
        module = turn.agent.model(name).module
    except KeyError:
        return None
    return cast("DynamicsLike", module) if hasattr(module, "initial_state") else None


class ModelError(PoseSweep):
    """Error of the forward model at fixed poses, at pixels without noise in both views.

    From each pose one random action leads to a next view. The model predicts its latent vector, a linear decoder
    maps that to a picture of 16 x 16 pixels, and squared errors (colors from 0 to 1) are averaged over the pixels
    without noise (`model_error_clean`) and over the others (`model_error_noise`). The decoder is fitted anew in each
    sweep, by ridge regression from the latent vectors of the real next views of one half of the poses, as the encoder
    may have learned; errors are those of the other half. `reconstruction_error_clean` is the decoder's error for the
    real latent vectors: that of a perfect model.

    `noise_angle` is 1 - cos(latent of a view, latent of the same view without noise). `forgetting` is the rise of the
    clean error in rooms that were entered in the first fifth of the run, see `Forgetting`.

    Args:
        poses: What `record_at_poses` returns.
        image: Name of the picture among the observations.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        dynamics: Name of the agent's forward model.
        penalty: Weight of the ridge penalty.
    """

    title = "model error"

    def __init__(
        self,
        poses: Mapping[str, Array],
        image: str = "image",
        encoder: str = "encoder",
        dynamics: str = "dynamics",
        every_steps: int = 10_000,
        poses_per_turn: int = 16,
        penalty: float = 1e-3,
    ) -> None:
        super().__init__(poses, encoder, every_steps, poses_per_turn)
        self._dynamics_name = dynamics
        self._penalty = penalty
        self._forgetting = Forgetting()
        shown = f"next_observation.{image}"
        self._disabled = self._disabled or shown not in self._poses or "noise_mask" not in self._poses
        if not self._disabled:
            self._pictures = shrunk(self._poses[shown] / 255.0)
            noisy = self._poses["noise_mask"] | self._poses["next_noise_mask"]
            self._clean = shrunk(noisy[..., None])[..., 0] == 0.0

    def on_step(self, turn: Turn) -> None:
        if not self._disabled:
            self._forgetting.on_step(turn)
        super().on_step(turn)

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        view, next_view = (
            encoder.encode(self.fields(kind, first, last, encoder)) for kind in ("observation", "next_observation")
        )
        encoded = {"view": view, "latent": next_view}
        if "clean_observation.image" in self._poses:
            clean = encoder.encode(self.fields("clean_observation", first, last, encoder))
            encoded["angle"] = 1.0 - torch.nn.functional.cosine_similarity(view, clean, dim=-1)
        return encoded

    def measure(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        columns = {name: numbers(column) for name, column in encoded.items() if name != "view"}
        model, view = find_dynamics(turn, self._dynamics_name), encoded["view"]
        if model is not None:
            action = torch.from_numpy(self._poses["action"][first:last]).to(view.device)
            columns["predicted"] = numbers(model(view, action, model.initial_state(len(view), view.device))[0])
        return columns

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        metrics = {"noise_angle": float(columns["angle"].mean())} if "angle" in columns else {}
        if "predicted" not in columns or self._count < 4:
            return metrics
        pictures = self._pictures.reshape(self._count, -1)
        decoder = Ridge(columns["latent"][::2], pictures[::2], self._penalty)
        clean = self._clean[1::2]
        predicted, real = (
            ((decoder(columns[name][1::2]) - pictures[1::2]) ** 2).reshape(*clean.shape, -1).mean(axis=-1)
            for name in ("predicted", "latent")
        )
        for name, errors, where in (
            ("model_error_clean", predicted, clean),
            ("model_error_noise", predicted, ~clean),
            ("reconstruction_error_clean", real, clean),
        ):
            if where.any():
                metrics[name] = float(errors[where].mean())
        if "room" in self._poses:
            rise = self._forgetting.measure(self._steps, room_errors(predicted, clean, self._poses["room"][1::2]))
            metrics |= {} if rise is None else {"forgetting": rise}
        return metrics


def shrunk(pictures: Array) -> Numbers:
    """Average `(n, height, width, channels)` down to about 16 x 16 pixels."""
    count, height, width, channels = pictures.shape
    tall, wide = max(height // SIDE, 1), max(width // SIDE, 1)
    cut = pictures[:, : height // tall * tall, : width // wide * wide]
    parts = cut.reshape(count, height // tall, tall, width // wide, wide, channels)
    means: Numbers = parts.mean(axis=(2, 4), dtype=np.float64)
    return means


def room_errors(errors: Numbers, clean: NDArray[np.bool_], rooms: NDArray[np.integer]) -> dict[int, float]:
    """Return the mean error over the clean pixels of each room's poses; rooms without any are left out."""
    found = {}
    for room in np.unique(rooms[rooms >= 0]).tolist():
        of_room = (rooms == room)[:, None, None] & clean
        if of_room.any():
            found[room] = float(errors[of_room].mean())
    return found
