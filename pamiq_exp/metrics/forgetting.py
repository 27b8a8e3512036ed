"""How much of what was learned about rooms is lost again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State

Numbers = NDArray[np.float64]


class Forgetting(Component):
    """Mean rise of a room's model error over its lowest value, among rooms that were entered early.

    F(T) = mean over the rooms entered in the first `early` part of the run of e_room(T) - min_t e_room(t).

    Args:
        early: Share of the run so far in which a room must have been entered first.
    """

    def __init__(self, early: float = 0.2) -> None:
        self._early = early
        self._entered: dict[int, int] = {}
        self._lowest: dict[int, float] = {}

    def enter(self, step: int, rooms: NDArray[np.integer]) -> None:
        """Note which rooms bodies are in; -1 is none."""
        for room in rooms.tolist():
            if room >= 0 and room not in self._entered:
                self._entered[room] = step

    def measure(self, step: int, errors: dict[int, float]) -> float | None:
        """Take in the errors of all rooms at a step and return F; None while no room counts."""
        for room, error in errors.items():
            self._lowest[room] = min(error, self._lowest.get(room, error))
        known = [room for room, entered in self._entered.items() if entered <= self._early * step and room in errors]
        if not known:
            return None
        return sum(errors[room] - self._lowest[room] for room in known) / len(known)

    def state(self) -> State:
        return {
            "entered": np.array(list(self._entered.items()), dtype=np.int64).reshape(-1, 2),
            "rooms": np.array(list(self._lowest), dtype=np.int64),
            "lowest": np.array(list(self._lowest.values())),
        }

    def load_state(self, state: State) -> None:
        self._entered = {int(room): int(step) for room, step in np.asarray(state["entered"]).reshape(-1, 2)}
        self._lowest = dict(zip(np.asarray(state["rooms"]).tolist(), np.asarray(state["lowest"]).tolist(), strict=True))
