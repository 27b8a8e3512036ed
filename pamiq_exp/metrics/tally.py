"""Means of named figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State

Totals = dict[str, tuple[float, int]]


class Tally(Component):
    """Means of named figures, since they were last taken and over the whole run."""

    def __init__(self) -> None:
        self._recent: Totals = {}
        self._all: Totals = {}

    def add(self, name: str, values: NDArray[np.generic]) -> None:
        """Count values of any shape, one by one in their order; none is fine."""
        if not values.size:
            return
        for totals in (self._recent, self._all):
            before, counted = totals.get(name, (0.0, 0))
            totals[name] = running_sums(before, values)[-1].item(), counted + values.size

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        recent, self._recent = self._recent, {}
        return _means(recent)

    def means(self) -> dict[str, float]:
        """Return the means of the whole run."""
        return _means(self._all)

    def total(self, name: str) -> float:
        """Return the sum of a figure over the whole run."""
        return self._all.get(name, (0.0, 0))[0]

    def state(self) -> State:
        both = {"recent": self._recent, "all": self._all}
        return {key: {name: list(pair) for name, pair in totals.items()} for key, totals in both.items() if totals}

    def load_state(self, state: State) -> None:
        self._recent, self._all = (_loaded(state.get(key, {})) for key in ("recent", "all"))


def running_sums(before: float, values: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the sums after each value, `(n,)`: added one by one, so that it is all the same how many come at once."""
    sums: NDArray[np.float64] = np.cumsum(np.append(before, values.reshape(-1)), dtype=np.float64)[1:]
    return sums


def _means(totals: Totals) -> dict[str, float]:
    return {name: total / count for name, (total, count) in totals.items()}


def _loaded(saved: dict[str, list[float]]) -> Totals:
    return {name: (float(total), int(count)) for name, (total, count) in saved.items()}
