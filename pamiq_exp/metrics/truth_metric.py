"""What metrics of the world's truth share."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction import StepObserver, Turn

logger = logging.getLogger(__name__)

NOISE_HEAVY, NOISE_FREE = 0.5, 0.05
"""A view is heavy with noise if more than this share of its pixels is, and free of it if less than that one."""


class TruthMetric(StepObserver, ABC):
    """Base class of metrics that read the world's ground truth.

    In an environment whose truth lacks one of the names in `needs` a metric says so once in the log, and
    reports nothing.
    """

    title: str
    needs: tuple[str, ...]

    def __init__(self) -> None:
        self._sees: bool | None = None

    def on_step(self, turn: Turn) -> None:
        if self._sees is None:
            missing = [name for name in self.needs if name not in turn.ground_truth]
            self._sees = not missing
            if missing:
                logger.info("no %s: this environment does not tell %s", self.title, " and ".join(missing))
        if self._sees:
            self.watch(turn)

    @abstractmethod
    def watch(self, turn: Turn) -> None:
        """Watch one turn of a world that tells all that is needed."""


def noise_share(turn: Turn) -> NDArray[np.float64]:
    """Return the share of noisy pixels in each lane's view, `(lanes,)`."""
    truth = turn.ground_truth
    if "noise_share" in truth:
        return truth["noise_share"]
    masks = truth["noise_mask"]
    pixels = masks[0].size
    return np.array([np.count_nonzero(mask) / pixels for mask in masks], dtype=np.float64)


def intrinsic_reward(turn: Turn) -> NDArray[np.float32]:
    """Return the intrinsic reward of the transition into this view, `(lanes,)`; zeros if the agent shows none."""
    reward = turn.agent.signals.get("reward")
    return np.zeros(len(turn.observation.reward), dtype=np.float32) if reward is None else reward


def is_rewarded(turn: Turn) -> NDArray[np.bool_]:
    """Return in which lanes the intrinsic reward means something, `(lanes,)`; nowhere if the agent shows none."""
    signals = turn.agent.signals
    if "reward" not in signals:
        return np.zeros(len(turn.observation.reward), dtype=np.bool_)
    rewarded = signals.get("rewarded")
    return np.ones(len(turn.observation.reward), dtype=np.bool_) if rewarded is None else rewarded
