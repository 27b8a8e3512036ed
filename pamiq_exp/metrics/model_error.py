"""How wrong the agent's model is about what is not noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.interaction import Array, Turn
from pamiq_exp.metrics.forgetting import Forgetting
from pamiq_exp.metrics.pose_sweep import EncoderLike, PoseSweep, numbers
from pamiq_exp.metrics.ridge import Ridge

Numbers = NDArray[np.float64]

SIDE = 16
"""Pixels a side of the pictures in which errors are measured; views are averaged down to them."""


class DynamicsLike(Protocol):
    """What a forward model must offer."""

    def initial_state(self, batch: int, device: torch.device) -> Tensor:
        """Return an empty memory."""

    def __call__(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next latent vector, and the memory after it."""


class ModelError(PoseSweep):
    """Error of the forward model at fixed poses, in pixels that are noise in neither of the two views.

    From each pose one random action leads to a next view. The model predicts its latent vector, a linear
    map paints that as a picture of 16 x 16 pixels, and squared errors (colours from 0 to 1) are averaged over
    the pixels that hold no noise: `model_error_clean`; over the others: `model_error_noise`. The map is
    fitted anew in each sweep, by ridge regression from the latent vectors of the real next views of one half
    of the poses, so that it follows an encoder that learns; errors are those of the other half.
    `painting_error_clean` is what it makes of the real latent vectors: the least that a perfect model has.

    `noise_angle` is 1 - cos(latent of a view, latent of the same view without noise): how much of the latent
    vector is noise. `forgetting` is how far the clean error has risen again in rooms that were entered in the
    first fifth of the run, see `Forgetting`.

    Args:
        poses: What `record_at_poses` returns.
        image: Name of the picture among the observations.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        dynamics: Name of the agent's forward model.
        penalty: Of the regression.
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
        self._blind = self._blind or shown not in self._poses or "noise_mask" not in self._poses
        if not self._blind:
            self._pictures = shrunk(self._poses[shown] / 255.0)
            noisy = self._poses["noise_mask"] | self._poses["next_noise_mask"]
            self._clean = shrunk(noisy[..., None])[..., 0] == 0.0

    def on_step(self, turn: Turn) -> None:
        if not self._blind:
            self._forgetting.on_step(turn)
        super().on_step(turn)

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """See the base class."""
        view, following = (
            encoder.encode(self.fields(kind, first, last, encoder)) for kind in ("observation", "next_observation")
        )
        encoded = {"view": view, "latent": following}
        if "clean_observation.image" in self._poses:
            twin = encoder.encode(self.fields("clean_observation", first, last, encoder))
            encoded["angle"] = 1.0 - torch.nn.functional.cosine_similarity(view, twin, dim=-1)
        return encoded

    def look(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """See the base class."""
        seen = {name: numbers(column) for name, column in encoded.items() if name != "view"}
        model, view = self._dynamics(turn), encoded["view"]
        if model is not None:
            action = torch.from_numpy(self._poses["action"][first:last]).to(view.device)
            seen["predicted"] = numbers(model(view, action, model.initial_state(len(view), view.device))[0])
        return seen

    def _dynamics(self, turn: Turn) -> DynamicsLike | None:
        try:
            module = turn.agent.model(self._dynamics_name).module
        except KeyError:
            return None
        return cast("DynamicsLike", module) if hasattr(module, "initial_state") else None

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """See the base class."""
        figures = {"noise_angle": float(columns["angle"].mean())} if "angle" in columns else {}
        if "predicted" not in columns or self._count < 4:
            return figures
        pictures = self._pictures.reshape(self._count, -1)
        painter = Ridge(columns["latent"][::2], pictures[::2], self._penalty)
        clean = self._clean[1::2]
        predicted, real = (
            ((painter(columns[name][1::2]) - pictures[1::2]) ** 2).reshape(*clean.shape, -1).mean(axis=-1)
            for name in ("predicted", "latent")
        )
        for name, errors, where in (
            ("model_error_clean", predicted, clean),
            ("model_error_noise", predicted, ~clean),
            ("painting_error_clean", real, clean),
        ):
            if where.any():
                figures[name] = float(errors[where].mean())
        if "room" in self._poses:
            lost = self._forgetting.measure(self._steps, room_errors(predicted, clean, self._poses["room"][1::2]))
            figures |= {} if lost is None else {"forgetting": lost}
        return figures


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
