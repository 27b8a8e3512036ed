"""Random actions are uniform, have the right form and repeat with the configured probability."""

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


def test_random_actions_are_uniform_in_every_discrete_branch() -> None:
    action = RandomActions(DISCRETE, num_envs=30_000, seed=0).draw()
    assert action.dtype == np.int64
    assert action.shape == (30_000, 2)
    for branch, choices in enumerate([3, 2]):
        frequencies = np.bincount(action[:, branch], minlength=choices) / 30_000
        np.testing.assert_allclose(frequencies, 1 / choices, atol=0.015)


def test_random_actions_fill_boxes_between_their_bounds() -> None:
    action = RandomActions(BOX, num_envs=10_000, seed=0).draw()
    assert action.dtype == np.float32
    np.testing.assert_allclose(action.min(0)[:2], [-1, 5], atol=0.01)
    np.testing.assert_allclose(action.max(0)[:2], [1, 6], atol=0.01)
    assert action[:, 2].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("stickiness", [0.0, 0.75])
def test_random_actions_draw_only_choices_that_the_mask_allows(stickiness: float) -> None:
    actions = RandomActions(DISCRETE, num_envs=10_000, seed=0, stickiness=stickiness)
    for mask in ([1, 0, 1, 0, 1], [0, 1, 1, 1, 0], [0, 0, 0, 1, 1]):
        action = actions.draw(np.tile(np.array(mask, np.float32), (10_000, 1)))
        assert action.dtype == np.int64
        for branch, choices in enumerate(([0, 1, 2], [3, 4])):
            allowed = np.array([mask[choice] for choice in choices], bool)
            seen = np.bincount(action[:, branch], minlength=len(choices)) / 10_000
            assert (seen[~allowed] == 0).all() or not allowed.any()
            if not stickiness:
                share = allowed / allowed.sum() if allowed.any() else np.full(3, 1 / 3)
                np.testing.assert_allclose(seen, share, atol=0.02)
    with pytest.raises(ValueError, match=r"'action_mask' has the shape \[4\], expected \[5\]"):
        actions.draw(np.ones((10_000, 4)))
    assert RandomActions(BOX, num_envs=2, seed=0).draw(np.ones((2, 7))).shape == (2, 3)


@pytest.mark.parametrize("stickiness", [0.0, 0.75])
def test_random_actions_repeat_with_probability_stickiness(stickiness: float) -> None:
    actions = RandomActions(BOX, num_envs=200, seed=0, stickiness=stickiness)
    drawn = np.stack([actions.draw() for _ in range(100)])
    repeated = (drawn[1:] == drawn[:-1]).all(-1).mean()
    assert repeated == pytest.approx(stickiness, abs=0.02)


def test_random_actions_continue_identically_after_a_restore() -> None:
    first, second = (RandomActions(DISCRETE, 4, seed, stickiness=0.9) for seed in (0, 1))
    first.draw()
    restore_state(second, collect_state(first))
    for _ in range(20):
        np.testing.assert_array_equal(first.draw(), second.draw())


def test_random_actions_refuse_a_stickiness_of_one() -> None:
    with pytest.raises(ValueError, match="stickiness"):
        RandomActions(DISCRETE, 1, 0, stickiness=1.0)
