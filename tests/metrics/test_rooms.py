from __future__ import annotations

import numpy as np

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.metrics import Rooms
from tests.metrics.scripted import watch


def rooms(*numbers: int) -> dict[str, np.ndarray]:
    return {"room": np.array(numbers, dtype=np.int32), "room_count": np.array(4)}


def test_rooms_reports_first_entries_in_environment_steps_censored_at_the_end() -> None:
    script = [rooms(0, 0), rooms(0, -1), rooms(2, 0), rooms(2, 2), rooms(0, 1)]
    metric = watch(Rooms(), script, num_envs=2)
    assert metric.report() == {"rooms_visited": 3}
    assert metric.summary() == {
        "rooms_visited": 3,
        "first_entry_room_0": 0,
        "first_entry_room_1": 8,
        "first_entry_room_2": 4,
        "first_entry_room_3": 10,
        "first_entry_mean": 5.5,
    }


def test_rooms_continues_identically_after_a_restore() -> None:
    script = [rooms(0), rooms(3), rooms(0), rooms(1)]
    first, second = watch(Rooms(), script[:2]), Rooms()
    restore_state(second, collect_state(first))
    assert watch(second, script[2:]).summary() == watch(Rooms(), script).summary()


def test_rooms_reports_nothing_in_a_world_without_rooms() -> None:
    metric = watch(Rooms(), [{}] * 3)
    assert metric.report() == metric.summary() == {}
