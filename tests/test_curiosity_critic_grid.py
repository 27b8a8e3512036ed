"""experiments/curiosity_critic/run.py: the grid world and its nine rewards."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def study() -> Any:
    path = REPOSITORY / "experiments" / "curiosity_critic" / "run.py"
    spec = importlib.util.spec_from_file_location("curiosity_critic_grid", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_curiosity_critic_grid_shows_fixed_vectors_left_and_random_ones_right(study: Any) -> None:
    grid = study.Grid(np.random.default_rng(0))
    left, right = 7 * study.SIDE + 14, 7 * study.SIDE + 15
    np.testing.assert_array_equal(grid.look(left), grid.look(left))
    assert (grid.look(right) != grid.look(right)).any()
    np.testing.assert_array_equal(np.roll(grid.look(left), 3), grid.look(8 * study.SIDE))


def test_curiosity_critic_grid_has_no_actions_into_walls(study: Any) -> None:
    assert study.neighbors(0) == [study.SIDE, 1]
    last = study.SIDE**2 - 1
    assert study.neighbors(last) == [last - study.SIDE, last - 1]
    assert len(study.neighbors(study.START)) == 4


def test_curiosity_critic_grid_scales_rewards_by_their_running_deviation(study: Any) -> None:
    scale = study.RewardScale(ema_decay=0.5)
    assert scale(2.0) == pytest.approx(2 / math.sqrt(2 - 1))
    assert scale(4.0) == pytest.approx(4 / math.sqrt(9 - 2.5**2))


def test_curiosity_critic_grid_runs_every_reward_reproducibly(study: Any) -> None:
    for name in study.PUBLISHED:
        error = study.run(name, seed=0, steps=20)
        assert math.isfinite(error)
        assert error == study.run(name, seed=0, steps=20)
    assert all(f"| {name} |" in study.table() for name in study.PUBLISHED)
