"""How much of what was learned about rooms is lost again."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.rooms import FirstEntries


class Forgetting(PagedMetric):
    """Mean rise of a room's model error over its lowest value, among rooms that were entered early.

    F(T) = mean over the rooms entered in the first `early` part of the run of e_room(T) - min_t e_room(t).

    Args:
        early: Share of the run so far in which a room must have been entered first.
    """

    title, needs = "forgetting", ("room",)
    columns = needs

    def __init__(self, early: float = 0.2) -> None:
        super().__init__()
        self._early = early
        self._entries = FirstEntries()
        self._lowest: dict[int, float] = {}

    def count(self, rows: Rows) -> None:
        self._entries.enter(rows["room"])

    def figures(self) -> dict[str, float]:
        return {}

    def measure(self, step: int, errors: dict[int, float]) -> float | None:
        """Take in the errors of all rooms at a step and return F; None while no room counts."""
        self._catch_up()
        for room, error in errors.items():
            self._lowest[room] = min(error, self._lowest.get(room, error))
        known = [
            room for room, entered in self._entries.first.items() if entered <= self._early * step and room in errors
        ]
        if not known:
            return None
        return sum(errors[room] - self._lowest[room] for room in known) / len(known)

    def counted(self) -> State:
        return {
            "rooms": np.array(list(self._lowest), dtype=np.int64),
            "lowest": np.array(list(self._lowest.values())),
        }

    def load_state(self, state: State) -> None:
        self._lowest = dict(zip(np.asarray(state["rooms"]).tolist(), np.asarray(state["lowest"]).tolist(), strict=True))
