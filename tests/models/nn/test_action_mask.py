"""Action masks: what they forbid has probability 0, in networks with and without memory."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch

from pamiq_exp.models import PolicyValueNetwork, RecurrentPolicyValue
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.models.nn.action_mask import MASK_FIELD, split_action_mask
from pamiq_exp.spaces import ActionSpec, ArraySpec

ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [3, 2]}
MASK: ArraySpec = {"shape": [5], "dtype": "float32", "low": 0.0, "high": 1.0}
VECTOR: ArraySpec = {"shape": [4], "dtype": "float32"}
INPUTS: dict[str, object] = {"observation": {"vector": VECTOR, "action_mask": MASK}}


def test_split_action_mask_splits_the_mask_into_padded_branches() -> None:
    _, mask = split_action_mask({"observation.vector": VECTOR, MASK_FIELD: MASK}, ACTION)
    assert mask is not None
    allowed = mask({MASK_FIELD: torch.tensor([[1.0, 0, 1, 0, 1], [0, 0, 0, 1, 1]])})
    assert allowed.tolist() == [
        [[True, False, True], [False, True, False]],
        [[True, True, True], [True, True, False]],  # nothing in the first branch: its action has no effect
    ]


@pytest.mark.parametrize("recurrent", [False, True])
def test_action_mask_gives_forbidden_choices_probability_0_and_renormalizes(recurrent: bool) -> None:
    torch.manual_seed(0)
    network: PolicyValueNetwork | RecurrentPolicyValue
    if recurrent:
        network = RecurrentPolicyValue(INPUTS, ACTION, RecurrentCore(Gru, width=8, depth=1))
    else:
        network = PolicyValueNetwork(INPUTS, ACTION, hidden=(8,))
    with torch.no_grad():
        cast("torch.nn.Linear", network.policy.logits).weight.normal_()
    mask = torch.tensor([[1.0, 0, 1, 1, 1], [1, 1, 1, 0, 1]])
    free = torch.ones_like(mask)
    vector = torch.randn(2, 4)

    def log_probs(mask: torch.Tensor) -> torch.Tensor:
        fields = {"observation.vector": vector, MASK_FIELD: mask}
        if isinstance(network, RecurrentPolicyValue):
            distribution = network.step(fields, network.initial_state(2)).distribution
        else:
            distribution, _ = network(fields)
        drawn = distribution.sample(torch.Generator().manual_seed(0))
        assert mask.bool().gather(1, drawn + torch.tensor([0, 3])).all()
        assert torch.isfinite(distribution.entropy()).all()
        assert (distribution.branch_entropy() <= math.log(3) + 1e-6).all()
        return cast("torch.Tensor", distribution.log_probs)

    masked, unmasked = log_probs(mask).exp(), log_probs(free).exp()
    first = unmasked[0, 0] * torch.tensor([1.0, 0, 1])
    torch.testing.assert_close(masked[0, 0], first / first.sum())
    torch.testing.assert_close(masked[0, 1], unmasked[0, 1])
    torch.testing.assert_close(masked[1, 1], torch.tensor([0.0, 1, 0]))


def test_action_mask_is_not_an_input_of_the_network() -> None:
    assert PolicyValueNetwork(INPUTS, ACTION, hidden=(8,)).body.width == 8
    assert list(PolicyValueNetwork(INPUTS, ACTION).body.fields) == ["observation.vector"]


def test_action_mask_passes_gradients_only_to_allowed_choices() -> None:
    network = PolicyValueNetwork(INPUTS, ACTION, hidden=(8,))
    fields = {"observation.vector": torch.randn(6, 4), MASK_FIELD: torch.tensor([[0.0, 1, 1, 1, 1]]).expand(6, 5)}
    distribution, _ = network(fields)
    (distribution.log_prob(torch.tensor([[1, 0]]).expand(6, 2)) + distribution.entropy()).sum().backward()
    gradient = cast("torch.nn.Linear", network.policy.logits).weight.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert gradient[0].abs().max() == 0
    assert gradient[1].abs().max() > 0


@pytest.mark.parametrize(
    ("field", "action", "message"),
    [
        ({"shape": [4], "dtype": "float32"}, ACTION, r"shape \[4\], expected \[5\]: a number for each of the 3 \+ 2"),
        (MASK | {"high": 0.0}, ACTION, "forbids every choice: by its bounds"),
        (MASK, {"kind": "box", "shape": [5], "dtype": "float32"}, "marks choices, but these actions are numbers"),
    ],
)
def test_action_mask_refuses_wrong_shapes_bounds_and_action_spaces(
    field: ArraySpec, action: ActionSpec, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        PolicyValueNetwork({"observation": {"vector": VECTOR, "action_mask": field}}, action)


def test_action_mask_alone_is_refused_as_input() -> None:
    with pytest.raises(ValueError, match="another input besides"):
        PolicyValueNetwork({"observation": {"action_mask": MASK}}, ACTION)
