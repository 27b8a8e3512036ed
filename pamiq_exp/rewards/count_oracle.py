"""Counts of true positions as reward (Strehl and Littman 2008): an oracle."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import GroundTruth, Reward
from pamiq_exp.rewards.transition import Transition


class CountOracle(Reward):
    """r = 1 / sqrt(N(c)), where N counts the visits of all environments to the true cell c of o_{t+1}, this one
    included.

    An oracle: it reads the environment's ground truth (`pose`: x, y, heading first), which no other reward may. It
    does not read images, so noise has no effect.

    Source: Strehl and Littman 2008, An analysis of model-based interval estimation, section 3 (the bonus).

    Args:
        normalizer: How the raw reward is scaled.
        cell: Side of a cell in meters.
        headings: Sectors into which a cell's headings are divided; 1 for none.
    """

    name = "count_oracle"

    def __init__(self, normalizer: Normalizer | None = None, cell: float = 0.25, headings: int = 1) -> None:
        super().__init__(normalizer)
        if not cell > 0 or headings < 1:
            raise ValueError(f"cell must be positive and headings at least 1, not {cell} and {headings}")
        self.cell, self.headings = float(cell), int(headings)
        self._ground_truth: GroundTruth | None = None
        self._counts: Counter[tuple[int, int, int]] = Counter()

    def attach_oracle(self, ground_truth: GroundTruth) -> None:
        """See the base class."""
        self._ground_truth = ground_truth

    def compute(self, transition: Transition) -> NDArray[np.float32]:
        """See the base class. Raises RuntimeError for an environment without `pose`."""
        truth = {} if self._ground_truth is None else self._ground_truth()
        if "pose" not in truth:
            raise RuntimeError(
                "count_oracle needs an environment whose ground truth has `pose`, such as environment=noise_world, "
                "and an Interaction that is set up"
            )
        cells = self._cells(truth["pose"])
        self._counts.update(cell for cell, counts in zip(cells, transition.valid, strict=True) if counts)
        return np.array([1 / math.sqrt(max(self._counts[cell], 1)) for cell in cells], dtype=np.float32)

    def state(self) -> State:
        """Visited cells and their counts."""
        if not self._counts:
            return {}
        cells = sorted(self._counts)
        return {
            "cells": np.array(cells, dtype=np.int64),
            "counts": np.array([self._counts[cell] for cell in cells], dtype=np.int64),
        }

    def load_state(self, state: State) -> None:
        """Restore the counts."""
        cells = (tuple(int(number) for number in cell) for cell in np.asarray(state["cells"]))
        counts = np.asarray(state["counts"]).tolist()
        self._counts = Counter({(y, x, h): count for (y, x, h), count in zip(cells, counts, strict=True)})

    def _cells(self, pose: NDArray[np.float64]) -> list[tuple[int, int, int]]:
        columns = np.floor(pose[:, :2] / self.cell).astype(np.int64)
        sector = np.zeros(len(pose), dtype=np.int64)
        if self.headings > 1:
            sector = np.floor(pose[:, 2] / (2 * math.pi) * self.headings).astype(np.int64) % self.headings
        return list(zip(columns[:, 1].tolist(), columns[:, 0].tolist(), sector.tolist(), strict=True))
