from __future__ import annotations

import logging

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import NoiseWorld
from pamiq_exp.interaction import Interaction
from pamiq_exp.metrics import Coverage
from tests.metrics.scripted import ScriptedAgent, watch

GRID = np.zeros((6, 6), dtype=np.bool_)
GRID[1:5, 1:5] = True


def at(*cells: tuple[float, float]) -> dict[str, np.ndarray]:
    """Agents in the middle of cells (column, row) of GRID."""
    pose = np.array([[(column + 0.5) * 0.25, (row + 0.5) * 0.25, 0.0, 1.0] for column, row in cells])
    return {"pose": pose, "reachable": GRID}


def test_coverage_is_one_after_all_cells_are_visited() -> None:
    path = [at((column, row)) for row in range(1, 5) for column in range(1, 5)]
    report = watch(Coverage(), path).report()
    assert report["coverage"] == 1.0
    assert report["coverage_auc"] == pytest.approx(np.mean(np.arange(1, 17) / 16))


def test_coverage_of_an_agent_that_stays_in_place_is_one_cell() -> None:
    report = watch(Coverage(), [at((2, 2))] * 10).report()
    assert report == {"coverage": 1 / 16, "coverage_auc": 1 / 16}


def test_coverage_counts_each_cell_once_over_all_environments() -> None:
    script = [at((1, 1), (4, 4)), at((1, 2), (1, 1))]
    assert watch(Coverage(), script, num_envs=2).report()["coverage"] == 3 / 16


def test_coverage_ignores_unreachable_cells() -> None:
    assert watch(Coverage(), [at((0, 0)), at((5, 5)), at((1, 1))]).report()["coverage"] == 1 / 16


def test_coverage_without_ground_truth_reports_nothing_and_logs_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert watch(Coverage(), [{}] * 5).report() == {}
    assert caplog.text.count("no coverage") == 1


def test_coverage_continues_identically_after_a_restore() -> None:
    path = [at((column, 1)) for column in (1, 2, 3, 4)]
    whole = watch(Coverage(), path)
    first = watch(Coverage(), path[:2])
    second = Coverage()
    restore_state(second, collect_state(first))
    watch(second, path[2:])
    assert second.report() == whole.report()


def test_coverage_reaches_one_in_noise_world() -> None:
    """An agent that walks along every row of a small room sees all of it."""
    room = "\n".join(["######", "#>...#", "#....#", "######"])
    world = NoiseWorld(map=room, noise={"fraction": 0}, image_size=8, speed=2.0)
    east, west, south, north = (np.array([[*branch, 0, 0, 0]]) for branch in ((1, 0), (2, 0), (0, 1), (0, 2)))
    actions = [north] * 4
    for _ in range(8):
        actions += [east] * 20 + [south] + [west] * 20 + [south]
    coverage = Coverage()
    interaction = Interaction(ScriptedAgent(actions), world, {"coverage": coverage})
    for _ in actions:
        interaction.step()
    assert coverage.report()["coverage"] == 1.0
