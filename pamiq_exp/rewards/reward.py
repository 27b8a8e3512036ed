"""What every reward shares: validity, scale, and the figures it leaves behind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.rewards.normaliser import NoNormaliser, Normaliser
from pamiq_exp.rewards.transition import PublishedModel, Transition


class RunningMean(Component):
    """Mean of numbers since it was last taken."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count some numbers."""
        if values.size:
            self._sum += float(values.sum(dtype=np.float64))
            self._count += int(values.size)

    @property
    def value(self) -> float | None:
        """The mean; None without numbers."""
        return self._sum / self._count if self._count else None

    def take(self) -> float | None:
        """Return the mean and start anew."""
        mean = self.value
        self._sum, self._count = 0.0, 0
        return mean

    def state(self) -> State:
        """Sum and count."""
        return {"sum": self._sum, "count": self._count}

    def load_state(self, state: State) -> None:
        """Restore sum and count."""
        self._sum, self._count = state["sum"], state["count"]


class Reward(Component, ABC):
    """Judges each transition, once, on the inference side, with the parameters published before it was seen.

    Those parameters have not been trained on the transition itself, so what they did not foresee was new
    to them.

    Args:
        normaliser: How the raw reward is scaled; None leaves it.
    """

    name: str
    """What its figures are called."""

    needs_latents: bool = False
    """Whether it compares latents, so that the agent must have an encoder."""

    def __init__(self, normaliser: Normaliser | None = None) -> None:
        self.normaliser = normaliser or NoNormaliser()
        self._raw = RunningMean()
        self._normalised = RunningMean()

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """Take the published models it needs, once, before the first step. Raises KeyError for a missing one."""

    @abstractmethod
    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """Return the raw reward of each lane, `(lanes,)`; None while there is nothing to say yet.

        Called for every turn, also for those that count in no lane: what is remembered from turn to turn
        must be cleared where `transition.valid` is false.
        """

    def __call__(self, transition: Transition) -> NDArray[np.float32]:
        """Return the scaled reward of each lane, `(lanes,)`; 0 where the transition means nothing."""
        raw = self.compute(transition)
        valid = transition.valid
        if raw is None:
            return np.zeros(len(valid), dtype=np.float32)
        if raw.shape != valid.shape:
            raise ValueError(
                f"{type(self).__name__}.compute returned {raw.shape}, expected {valid.shape}: one per lane"
            )
        raw = np.where(valid, raw, np.float32(0))
        normalised = np.where(valid, self.normaliser(raw, valid), np.float32(0))
        self._raw.add(raw[valid])
        self._normalised.add(normalised[valid])
        return normalised

    def report(self) -> dict[str, float]:
        """Mean raw and scaled reward since the last call: `<name>_raw`, `<name>`."""
        figures = {f"{self.name}_raw": self._raw.take(), self.name: self._normalised.take()}
        return {name: value for name, value in figures.items() if value is not None}
