"""Metrics of an encoder at fixed poses, the same for the whole run: sweeps over them, and a linear pose probe."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.component import State
from pamiq_exp.every import Every
from pamiq_exp.interaction import Array, StepObserver, Turn
from pamiq_exp.seeding import numpy_generator

logger = logging.getLogger(__name__)

Numbers = NDArray[np.float64]


class EncoderLike(Protocol):
    """An encoder; see `pamiq_exp.models.Encoder`."""

    warmed_up: bool
    frozen: bool

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        """Return `(n, features)` for `observation.*` fields."""


class PoseSweep(StepObserver):
    """Base class of metrics at fixed poses: it encodes a few poses in each turn, so that no turn takes long.

    A sweep over all poses starts every `every_steps` environment steps, the first one as soon as the agent's
    encoder is warmed up; at its end, `finish` computes the metrics. Without poses, or if the agent has no such encoder,
    nothing is reported.

    Args:
        poses: What `pamiq_exp.environments.record_at_poses` returns.
        encoder: Name of the agent's encoder.
        every_steps: Environment steps from the start of one sweep to that of the next.
        poses_per_turn: Poses encoded in one turn.
    """

    title: str

    def __init__(
        self, poses: Mapping[str, Array], encoder: str = "encoder", every_steps: int = 10_000, poses_per_turn: int = 16
    ) -> None:
        if every_steps < 1 or poses_per_turn < 1:
            raise ValueError("every_steps and poses_per_turn must be at least 1")
        self._poses = {name: np.asarray(column) for name, column in poses.items()}
        self._count = len(self._poses.get("pose", ()))
        self._encoder_name = encoder
        self._poses_per_turn = poses_per_turn
        self._steps = 0
        self._sweeps = Every(every_steps, first=0)
        self._next: int | None = None
        self._columns: dict[str, list[Array]] = {}
        self._disabled = self._count == 0
        self._metrics: dict[str, float] = {}
        self._encoded: dict[int, dict[str, Tensor]] = {}

    @abstractmethod
    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """Return latents of the poses from `first` to `last - 1`, by name, each `(last - first, ...)`."""

    @abstractmethod
    def measure(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """Return columns for `finish`, each `(last - first, ...)`, from the latents that `encode` returned."""

    @abstractmethod
    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """Return the metrics of a whole sweep from the columns of all poses."""

    def on_step(self, turn: Turn) -> None:
        self._steps += len(turn.observation.reward)
        if self._disabled or (self._next is None and not self._sweeps.due(self._steps)):
            return
        encoder = self._encoder(turn)
        if encoder is None or not encoder.warmed_up:
            return
        if self._next is None:
            self._next, self._columns = 0, {}
            self._sweeps.done(self._steps)
        last = min(self._next + self._poses_per_turn, self._count)
        with torch.no_grad():
            encoded = self._encoded.get(self._next) or self.encode(encoder, self._next, last)
            if encoder.frozen:
                self._encoded[self._next] = encoded
            for name, column in self.measure(turn, encoded, self._next, last).items():
                self._columns.setdefault(name, []).append(column)
        self._next = last
        if last == self._count:
            self._metrics = self.finish({name: np.concatenate(column) for name, column in self._columns.items()})
            self._next, self._columns = None, {}

    @property
    def _is_final(self) -> bool:
        """Whether all poses were encoded and their latents will not change."""
        return len(self._encoded) * self._poses_per_turn >= self._count

    def _encoder(self, turn: Turn) -> EncoderLike | None:
        try:
            module = turn.agent.model(self._encoder_name).module
        except KeyError:
            module = None
        if not hasattr(module, "encode"):
            logger.info("no %s: this agent has no encoder '%s'", self.title, self._encoder_name)
            self._disabled = True
            return None
        return cast("EncoderLike", module)

    def fields(self, kind: str, first: int, last: int, like: EncoderLike) -> dict[str, Tensor]:
        """Return the `observation.*` fields of some poses, on the encoder's device.

        `kind` is `observation`, `next_observation`, `clean_observation` or `placed_observation`.
        """
        device = _device(like)
        own = {name.partition(".")[2]: name for name in self._poses if name.startswith(f"{kind}.")}
        return {
            f"observation.{name}": torch.from_numpy(self._poses[column][first:last]).to(device)
            for name, column in own.items()
        }

    def report(self) -> dict[str, float]:
        return dict(self._metrics)

    def state(self) -> State:
        saved = {name: np.concatenate(column) for name, column in self._columns.items()}
        return {
            "steps": self._steps,
            "due": self._sweeps.next,
            "next": self._next,
            "columns": saved,
            "metrics": dict(self._metrics),
        }

    def load_state(self, state: State) -> None:
        self._steps, self._sweeps.next = int(state["steps"]), int(state["due"])
        self._next = None if state["next"] is None else int(state["next"])
        self._columns = {name: [np.asarray(column)] for name, column in state["columns"].items()}
        self._metrics = {name: float(value) for name, value in state["metrics"].items()}


def _device(encoder: object) -> torch.device:
    tensors = encoder.state_dict().values() if isinstance(encoder, torch.nn.Module) else ()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def numbers(tensor: Tensor) -> Numbers:
    """Return a tensor as a float64 array."""
    return tensor.to("cpu", torch.float64).numpy()


MOST_INPUTS = 3072
"""Pixel values of a view that the random projection reads; larger views are subsampled."""


class PoseProbe(PoseSweep):
    """R^2 of a linear probe that predicts x, y, sine and cosine of the heading from the latent vector.

    A ridge regression is fitted to four fifths of the poses, split by square meters of the map. `pose_probe` is R^2 on
    the others, mean of the four targets. `pose_probe_random` is the same for a rectified random projection of the
    pixels with as many features, which stands for an untrained encoder.

    Args:
        poses: What `record_at_poses` returns.
        seed: Of the split and of the random projection.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        penalty: Weight of the ridge penalty.
    """

    title = "pose probe"

    def __init__(
        self,
        poses: Mapping[str, Array],
        seed: int,
        encoder: str = "encoder",
        every_steps: int = 10_000,
        poses_per_turn: int = 16,
        penalty: float = 1e-3,
    ) -> None:
        used = {name: column for name, column in poses.items() if name == "pose" or _is_view(name)}
        super().__init__(used, encoder, every_steps, poses_per_turn)
        self._seed = seed
        self._penalty = penalty
        self._random: float | None = None
        if self._count:
            pose = self._poses["pose"]
            self._targets: Numbers = np.column_stack([pose[:, :2], np.sin(pose[:, 2]), np.cos(pose[:, 2])])
            self._is_test = held_out_squares(pose, seed)

    def on_step(self, turn: Turn) -> None:
        if self._metrics and self._is_final:
            self._steps += len(turn.observation.reward)  # no sweep would change anything
        else:
            super().on_step(turn)

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        return {"latent": encoder.encode(self.fields("observation", first, last, encoder))}

    def measure(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        return {"latent": numbers(encoded["latent"])}

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        latent = columns["latent"]
        if self._random is None:
            self._random = self._score(random_features(self._views(), latent.shape[1], self._seed))
        return {"pose_probe": self._score(latent), "pose_probe_random": self._random}

    def _score(self, features: Numbers) -> float:
        fit, test = ~self._is_test, self._is_test
        probe = Ridge(features[fit], self._targets[fit], self._penalty)
        return explained(self._targets[test], probe(features[test]))

    def _views(self) -> Numbers:
        columns = [column.reshape(self._count, -1) for name, column in self._poses.items() if _is_view(name)]
        views = np.concatenate(columns, axis=1).astype(np.float64)
        views = views[:, :: -(-views.shape[1] // MOST_INPUTS)]
        return views / max(float(np.abs(views).max()), 1e-9)


def _is_view(name: str) -> bool:
    return name.startswith("observation.")


def held_out_squares(pose: Numbers, seed: int) -> NDArray[np.bool_]:
    """Return which poses lie in the fifth of the square meters that is held out from the fit, `(n,)`."""
    _, square = np.unique(np.floor(pose[:, :2]), axis=0, return_inverse=True)
    square = square.reshape(-1)
    squares = int(square.max()) + 1
    chosen = numpy_generator(seed, "split").permutation(squares)[: max(squares // 5, 1)]
    return np.isin(square, chosen)


def random_features(views: Numbers, features: int, seed: int) -> Numbers:
    """Return rectified random projections of views, `(n, features)`."""
    generator = numpy_generator(seed, "random features")
    weights = generator.standard_normal((views.shape[1], features)) / np.sqrt(views.shape[1])
    projected: Numbers = np.maximum(product(views - views.mean(axis=0), weights), 0.0)
    return projected


def product(first: Numbers, second: Numbers) -> Numbers:
    """Return a product of matrices, computed with the threads that torch uses on this thread.

    Numpy's product uses threads of its own, which wait by spinning: beside a training thread it took thirty times as
    long.
    """
    result: Numbers = (torch.from_numpy(first) @ torch.from_numpy(second)).numpy()
    return result


class Ridge:
    """A linear map from standardized inputs, fitted with a penalty on its squared weights.

    Minimizes mean |y - W x - b|^2 + penalty |W|^2 (Hoerl and Kennard 1970).

    Args:
        inputs: `(n, features)`. Constant features get the weight 0.
        targets: `(n, outputs)`.
        penalty: Weight of the penalty.
    """

    def __init__(self, inputs: Numbers, targets: Numbers, penalty: float = 1e-3) -> None:
        self._mean, self._offset = inputs.mean(axis=0), targets.mean(axis=0)
        spread = inputs.std(axis=0)
        self._scale = np.where(spread > 1e-9, 1.0 / np.where(spread > 1e-9, spread, 1.0), 0.0)
        scaled = (inputs - self._mean) * self._scale
        rows, features = scaled.shape
        self._weights: Numbers
        if features <= rows:
            gram = product(scaled.T, scaled) / rows + penalty * np.eye(features)
            self._weights = _solve(gram, product(scaled.T, targets - self._offset) / rows)
        else:
            # The same weights (Woodbury) from the products of rows: of pixels, those of features would take gigabytes.
            kernel = product(scaled, scaled.T) / rows + penalty * np.eye(rows)
            self._weights = product(scaled.T, _solve(kernel, targets - self._offset)) / rows

    def __call__(self, inputs: Numbers) -> Numbers:
        """Return predictions `(m, outputs)` for inputs `(m, features)`."""
        predicted: Numbers = product((inputs - self._mean) * self._scale, self._weights) + self._offset
        return predicted


def _solve(matrix: Numbers, right: Numbers) -> Numbers:
    solution: Numbers = torch.linalg.solve(torch.from_numpy(matrix), torch.from_numpy(right)).numpy()
    return solution


def explained(targets: Numbers, predicted: Numbers) -> float:
    """Return R^2, 1 - residual / total sum of squares, mean over outputs that vary."""
    residual = ((targets - predicted) ** 2).sum(axis=0)
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 1e-12
    return float((1.0 - residual[varies] / total[varies]).mean()) if varies.any() else 0.0
