from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.metrics.model_error import Forgetting


def test_forgetting_is_the_mean_error_rise_of_rooms_entered_early() -> None:
    forgetting = Forgetting(early=0.2)
    rooms = np.full((251, 2), -1)
    rooms[0], rooms[75], rooms[250] = (0, -1), (1, 0), (-1, 2)
    forgetting.count({"room": rooms})
    assert forgetting.measure(100, {0: 0.9, 1: 0.9}) == 0.0
    assert forgetting.measure(400, {0: 0.2, 1: 0.6, 2: 0.1}) == 0.0
    # room 0 has risen by 0.3, room 1 by 0.1; room 2 was entered too late to count
    assert forgetting.measure(1000, {0: 0.5, 1: 0.7, 2: 0.8}) == pytest.approx(0.2)


def test_forgetting_without_rooms_is_none() -> None:
    assert Forgetting().measure(100, {0: 1.0}) is None


def test_forgetting_restores_its_state() -> None:
    first, second = Forgetting(), Forgetting()
    first.count({"room": np.array([[0]])})
    first.measure(10, {0: 0.25})
    restore_state(second, collect_state(first))
    assert second.measure(20, {0: 0.75}) == 0.5
