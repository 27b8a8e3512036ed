"""Whether the latent vector knows where the body is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.interaction import Array, Turn
from pamiq_exp.metrics.pose_sweep import EncoderLike, PoseSweep, numbers
from pamiq_exp.metrics.ridge import Ridge, explained, product
from pamiq_exp.seeding import numpy_generator

Numbers = NDArray[np.float64]

MOST_INPUTS = 3072
"""Numbers of a view that the random projection reads; larger views are thinned out."""


class PoseProbe(PoseSweep):
    """How well x, y, sine and cosine of the heading can be read off the latent vector by a linear map.

    A ridge regression is fitted to four fifths of the poses, split by square metres of the map, and R^2 on
    the others is reported, mean of the four: `pose_probe`. `pose_probe_random` is the same for a random
    projection of the pixels with as many features, rectified: what an encoder that has learned nothing gives.

    Args:
        poses: What `record_at_poses` returns.
        seed: Of the split and of the random projection.
        encoder, every_steps, poses_per_turn: See `PoseSweep`.
        penalty: Of the regression.
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
            self._is_test = held_back_squares(pose, seed)

    def on_step(self, turn: Turn) -> None:
        if self._figures and self._is_settled:
            self._steps += len(turn.observation.reward)  # nothing will ever change
        else:
            super().on_step(turn)

    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """See the base class."""
        return {"latent": encoder.encode(self.fields("observation", first, last, encoder))}

    def look(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """See the base class."""
        return {"latent": numbers(encoded["latent"])}

    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """See the base class."""
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


def held_back_squares(pose: Numbers, seed: int) -> NDArray[np.bool_]:
    """Return which poses lie in the fifth of the square metres that the fit does not see, `(n,)`."""
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
