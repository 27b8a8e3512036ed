"""Random actions are uniform, of the right form, and repeat themselves as often as told."""

from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.interaction import RandomActions
from pamiq_exp.spaces import ActionSpec

DISCRETE: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [3, 2]}
BOX: ActionSpec = {
    "kind": "box",
    "shape": [3],
    "dtype": "float32",
    "low": [-1.0, 5.0, -np.inf],
    "high": [1.0, 6.0, np.inf],
}


def test_choices_are_uniform_in_every_branch() -> None:
    action = RandomActions(DISCRETE, num_envs=30_000, seed=0).draw()
    assert action.dtype == np.int64
    assert action.shape == (30_000, 2)
    for branch, choices in enumerate([3, 2]):
        frequencies = np.bincount(action[:, branch], minlength=choices) / 30_000
        np.testing.assert_allclose(frequencies, 1 / choices, atol=0.015)


def test_boxes_are_filled_between_their_bounds() -> None:
    action = RandomActions(BOX, num_envs=10_000, seed=0).draw()
    assert action.dtype == np.float32
    np.testing.assert_allclose(action.min(0)[:2], [-1, 5], atol=0.01)
    np.testing.assert_allclose(action.max(0)[:2], [1, 6], atol=0.01)
    assert action[:, 2].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("stickiness", [0.0, 0.75])
def test_actions_are_repeated_as_often_as_told(stickiness: float) -> None:
    actions = RandomActions(BOX, num_envs=200, seed=0, stickiness=stickiness)
    drawn = np.stack([actions.draw() for _ in range(100)])
    repeated = (drawn[1:] == drawn[:-1]).all(-1).mean()
    assert repeated == pytest.approx(stickiness, abs=0.02)


def test_a_restored_stream_goes_on_as_before() -> None:
    first, second = (RandomActions(DISCRETE, 4, seed, stickiness=0.9) for seed in (0, 1))
    first.draw()
    restore_state(second, collect_state(first))
    for _ in range(20):
        np.testing.assert_array_equal(first.draw(), second.draw())


def test_certain_repetition_is_refused() -> None:
    with pytest.raises(ValueError, match="stickiness"):
        RandomActions(DISCRETE, 1, 0, stickiness=1.0)
