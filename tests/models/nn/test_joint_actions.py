"""Joint choices: their numbers, and distributions over them."""

from __future__ import annotations

import pytest
import torch

from pamiq_exp.models.nn.joint_actions import GreedyChoice, JointActions, JointCategorical
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ActionSpec

ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [2, 3]}


def test_joint_actions_number_every_combination_once() -> None:
    joint = JointActions(ACTION, "DQN")
    actions = joint.action(torch.arange(6))
    assert actions.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert torch.equal(joint.index(actions), torch.arange(6))


def test_joint_categorical_draws_joint_choices_by_their_probabilities() -> None:
    joint = JointActions(ACTION, "SAC")
    probabilities = torch.tensor([0.05, 0.1, 0.15, 0.2, 0.2, 0.3])
    distribution = JointCategorical(probabilities.log().expand(20_000, 6), joint)
    action = distribution.sample(torch_generator(0))
    assert torch.allclose(joint.index(action).bincount() / 20_000, probabilities, atol=0.02)
    assert torch.allclose(distribution.log_prob(action).exp(), probabilities[joint.index(action)])
    assert torch.allclose(distribution.entropy()[0], -(probabilities * probabilities.log()).sum())
    assert distribution.mode()[0].tolist() == [1, 2]


def test_greedy_choice_is_certain_of_the_best() -> None:
    joint = JointActions(ACTION, "DQN")
    distribution = GreedyChoice(torch.tensor([[0.0, 1, 5, 2, 3, 4], [9.0, 1, 5, 2, 3, 4]]), joint)
    assert distribution.sample(torch_generator(0)).tolist() == distribution.mode().tolist() == [[0, 2], [0, 0]]
    assert distribution.log_prob(torch.tensor([[0, 2], [1, 1]])).tolist() == [0.0, -torch.inf]
    assert distribution.entropy().tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ({"kind": "box", "shape": [1], "dtype": "float32", "low": [-1.0], "high": [1.0]}, "DQN needs discrete actions"),
        ({"kind": "multi_discrete", "shape": [5], "dtype": "int64", "nvec": [9] * 5}, "59,049 are too many"),
    ],
)
def test_joint_actions_refuse_continuous_actions_and_too_many_combinations(action: ActionSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JointActions(action, "DQN")
