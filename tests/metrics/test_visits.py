from __future__ import annotations

import math

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.metrics import VisitationEntropy
from pamiq_exp.metrics.coverage import evenness
from tests.metrics.scripted import watch

GRID = np.zeros((6, 6), dtype=np.bool_)
GRID[1:5, 1:5] = True


def at(column: int, row: int, degrees: float = 0.0) -> dict[str, np.ndarray]:
    pose = np.array([[(column + 0.5) * 0.25, (row + 0.5) * 0.25, math.radians(degrees)]])
    return {"pose": pose, "reachable": GRID}


def test_visitation_entropy_is_one_for_equal_time_in_all_cells() -> None:
    path = [at(column + 1, row + 1) for column, row in np.ndindex(4, 4)]
    assert watch(VisitationEntropy(), path).report()["visit_entropy"] == pytest.approx(1.0)


def test_visitation_entropy_of_a_spinning_agent_is_zero_but_one_over_headings() -> None:
    report = watch(VisitationEntropy(), [at(2, 2, 15.0 * index) for index in range(24)]).report()
    assert report["visit_entropy"] == 0.0
    assert report["heading_entropy"] == pytest.approx(1.0)


def test_visitation_entropy_matches_a_known_distribution() -> None:
    report = watch(VisitationEntropy(), [at(1, 1)] * 3 + [at(2, 1)]).report()
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert report["visit_entropy"] == pytest.approx(entropy / math.log(16))
    assert evenness(np.array([3, 1, 0]), 16) == pytest.approx(entropy / math.log(16))


def test_visitation_entropy_recent_uses_the_newest_fifth() -> None:
    path = [at(1 + index % 4, 1) for index in range(32)] + [at(3, 3)] * 8
    report = watch(VisitationEntropy(recent=0.2), path).report()
    assert report["visit_entropy"] > 0.4
    assert report["visit_entropy_recent"] == 0.0


def test_visitation_entropy_continues_identically_after_a_restore() -> None:
    path = [at(1 + index % 4, 1 + index % 3, index) for index in range(100)]
    first, second = watch(VisitationEntropy(), path[:57]), VisitationEntropy()
    restore_state(second, collect_state(first))
    assert watch(second, path[57:]).report() == watch(VisitationEntropy(), path).report()
