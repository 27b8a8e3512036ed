"""Which rooms have been visited, and when first."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.truth_metric import TruthMetric


class Rooms(TruthMetric):
    """When each room was entered for the first time by any lane, in environment steps.

    Works where the ground truth has `room` (the number of the room that each body is in, -1 for none,
    `(lanes,)`); `room_count`, if it has it, tells how many there are.

    Reports `rooms_visited`. The summary adds `first_entry_room_<number>` of each room and their mean,
    `first_entry_mean`; rooms that were never entered count with the length of the run.
    """

    title, needs = "visits of rooms", ("room",)

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self._rooms = 0
        self._first: dict[int, int] = {}

    def watch(self, turn: Turn) -> None:
        truth = turn.ground_truth
        if not self._steps and "room_count" in truth:
            self._rooms = int(truth["room_count"])
        rooms = truth["room"].tolist()
        for room in rooms:
            if room >= 0 and room not in self._first:
                self._first[room] = self._steps
        self._steps += len(rooms)

    def report(self) -> dict[str, float]:
        return {"rooms_visited": float(len(self._first))} if self._steps else {}

    def summary(self) -> dict[str, float]:
        rooms = max(self._rooms, max(self._first, default=-1) + 1)
        first = {f"first_entry_room_{room}": float(self._first.get(room, self._steps)) for room in range(rooms)}
        mean = {"first_entry_mean": sum(first.values()) / rooms} if rooms else {}
        return self.report() | first | mean

    def state(self) -> State:
        if not self._steps:
            return {}
        return {"steps": self._steps, "rooms": self._rooms, "first": np.array(list(self._first.items())).reshape(-1, 2)}

    def load_state(self, state: State) -> None:
        self._steps, self._rooms = int(np.asarray(state["steps"])), int(np.asarray(state["rooms"]))
        self._first = {int(room): int(step) for room, step in np.asarray(state["first"])}
