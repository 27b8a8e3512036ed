"""Which rooms have been visited, and when first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.pages import PagedMetric, Rows


class FirstEntries(Component):
    """Remembers when each room was entered for the first time, in environment steps.

    Attributes:
        steps: Environment steps so far.
        first: Step of the first entry, by the number of the room.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.first: dict[int, int] = {}

    def enter(self, rooms: NDArray[np.integer]) -> None:
        """Note which rooms bodies are in, `(turns, lanes)`; -1 is none."""
        lanes = rooms.shape[1]
        numbers, at = np.unique(rooms, return_index=True)
        for place, room in sorted(zip(at.tolist(), numbers.tolist(), strict=True)):
            if room >= 0:
                self.first.setdefault(room, self.steps + place // lanes * lanes)
        self.steps += rooms.size

    def state(self) -> State:
        if not self.steps:
            return {}
        return {"steps": self.steps, "first": np.array(list(self.first.items()), dtype=np.int64).reshape(-1, 2)}

    def load_state(self, state: State) -> None:
        self.steps = int(np.asarray(state["steps"]))
        self.first = {int(room): int(step) for room, step in np.asarray(state["first"])}


class Rooms(PagedMetric):
    """When each room was entered for the first time by any lane, in environment steps.

    Works where the ground truth has `room` (the number of the room that each body is in, -1 for none,
    `(lanes,)`); `room_count`, if it has it, tells how many there are.

    Reports `rooms_visited`. The summary adds `first_entry_room_<number>` of each room and their mean,
    `first_entry_mean`; rooms that were never entered count with the length of the run.
    """

    title, needs = "visits of rooms", ("room",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._rooms = 0
        self._entries = FirstEntries()

    def begin(self, turn: Turn) -> None:
        if "room_count" in turn.ground_truth:
            self._rooms = int(turn.ground_truth["room_count"])

    def count(self, rows: Rows) -> None:
        self._entries.enter(rows["room"])

    def figures(self) -> dict[str, float]:
        return {"rooms_visited": float(len(self._entries.first))} if self._entries.steps else {}

    def final_figures(self) -> dict[str, float]:
        steps, entered = self._entries.steps, self._entries.first
        rooms = max(self._rooms, max(entered, default=-1) + 1)
        first = {f"first_entry_room_{room}": float(entered.get(room, steps)) for room in range(rooms)}
        mean = {"first_entry_mean": sum(first.values()) / rooms} if rooms else {}
        return self.figures() | first | mean

    def counted(self) -> State:
        return {"rooms": self._rooms} if self._rooms else {}

    def load_state(self, state: State) -> None:
        self._rooms = int(np.asarray(state["rooms"]))
