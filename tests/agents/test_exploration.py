"""Exploration replaces the configured share of actions and is restored from a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pamiq_exp.agents import Exploration
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.spaces import ActionSpec

ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [1000]}
POLICY = torch.full((4, 1), -1)


def exploration(**settings: float) -> Exploration:
    return Exploration(ACTION, num_envs=4, seed=0, **settings)  # type: ignore[arg-type]


def test_exploration_falls_linearly_after_the_random_steps() -> None:
    explores = exploration(random_steps=8, epsilon_start=1.0, epsilon_end=0.2, decay_steps=40)
    seen = []
    for _ in range(14):
        seen.append(explores.epsilon)
        explores.choose()
    assert seen[:2] == [1.0, 1.0]
    assert seen[2:] == pytest.approx([max(0.2, 1 - 0.8 * step / 40) for step in range(8, 56, 4)])


def test_exploration_replaces_a_share_epsilon_of_the_actions() -> None:
    explores = exploration(epsilon_start=0.3, epsilon_end=0.3)
    actions = torch.cat([explores.replace(POLICY, explores.choose()) for _ in range(2000)])
    random = actions >= 0
    assert float(random.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(actions[random].float().mean()) == pytest.approx(499.5, abs=20)


def test_exploration_without_epsilon_changes_no_action() -> None:
    explores = exploration()
    assert all(explores.replace(POLICY, explores.choose()) is POLICY for _ in range(5))


def test_exploration_continues_identically_after_a_restore() -> None:
    once, parts = (exploration(random_steps=8, epsilon_start=0.5, epsilon_end=0.5) for _ in range(2))
    for each in (once, parts):
        for _ in range(5):
            each.replace(POLICY, each.choose())
    again = exploration(random_steps=8, epsilon_start=0.5, epsilon_end=0.5)
    restore_state({"exploration": again}, collect_state({"exploration": parts}))
    for _ in range(5):
        chosen, expected = again.choose(), once.choose()
        assert np.array_equal(chosen, expected)
        assert torch.equal(again.replace(POLICY, chosen), once.replace(POLICY, expected))


def test_exploration_refuses_an_epsilon_that_is_no_probability() -> None:
    with pytest.raises(ValueError, match="epsilon must be between 0 and 1"):
        exploration(epsilon_start=1.5)
