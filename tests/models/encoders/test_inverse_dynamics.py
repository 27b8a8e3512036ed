"""Features from which the action between two observations can be predicted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pamiq_exp.models import ForwardDynamics, InverseDynamics, ResidualDynamics
from pamiq_exp.spaces import ActionSpec

ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [3, 2]}
BOX: ActionSpec = {"kind": "box", "shape": [2], "dtype": "float32", "low": [-1.0, -1.0], "high": [1.0, 1.0]}
OBSERVATION = {"vector": {"shape": [6], "dtype": "float32"}}
MOVES = torch.tensor([-1.0, 0.0, 1.0])


def make(action: ActionSpec = ACTION, **given: float) -> InverseDynamics:
    torch.manual_seed(0)
    return InverseDynamics(OBSERVATION, action, features=8, hidden=(32,), inverse_hidden=(32,), **given)  # type: ignore[arg-type]


def sequences(count: int, length: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The first branch moves number 0, the second one moves nothing; all other numbers are noise."""
    action = torch.stack([torch.randint(0, n, (count, length), generator=generator) for n in (3, 2)], -1)
    vector = torch.randn(count, length, 6, generator=generator)
    vector[:, 1:, 0] = vector[:, :1, 0] + MOVES[action[:, :-1, 0]].cumsum(1)
    return {"observation.vector": vector, "action": action, "ended": torch.zeros(count, length, dtype=torch.bool)}


def test_inverse_dynamics_loss_is_the_negative_log_prob_of_actions_in_episodes() -> None:
    encoder = make()
    batch = sequences(3, 4, torch.Generator().manual_seed(0))
    batch["ended"][1, 1] = batch["ended"][2, 0] = True
    latent = encoder.encode(batch)
    terms = []
    for row in range(3):
        for t in range(3):
            if not batch["ended"][row, t]:
                predicted = encoder.action_between(latent[row, t], latent[row, t + 1])
                terms.append(-predicted.log_prob(batch["action"][row, t]))
    assert len(terms) == 7
    torch.testing.assert_close(encoder.training_step(batch, 0), torch.stack(terms).mean())


def test_inverse_dynamics_predicts_only_actions_that_have_an_effect() -> None:
    encoder, generator = make(learning_rate=3e-3), torch.Generator().manual_seed(0)
    optimizer = encoder.configure_optimizers()
    for _ in range(300):
        optimizer.zero_grad()
        encoder.training_step(sequences(64, 3, generator), 0).backward()
        optimizer.step()
    batch = sequences(500, 2, generator)
    latent = encoder.encode(batch)
    correct = encoder.action_between(latent[:, 0], latent[:, 1]).mode() == batch["action"][:, 0]
    accuracy = correct.float().mean(0)
    assert accuracy[0] > 0.95
    assert 0.4 < accuracy[1] < 0.6


def test_inverse_dynamics_features_have_mean_0_and_variance_1() -> None:
    encoder = make()
    with torch.no_grad():
        for weight in encoder.network.parameters():
            weight.mul_(100)
    latent = encoder.encode(sequences(5, 4, torch.Generator().manual_seed(0)))
    assert latent.shape == (5, 4, 8)
    torch.testing.assert_close(latent.mean(-1), torch.zeros(5, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(latent.var(-1, correction=0), torch.ones(5, 4), atol=1e-3, rtol=0)


def test_inverse_dynamics_has_a_finite_loss_for_continuous_actions() -> None:
    encoder = make(BOX)
    batch = sequences(3, 2, torch.Generator().manual_seed(0))
    batch["action"] = torch.randn(3, 2, 2)
    assert encoder.training_step(batch, 0).isfinite()


def test_inverse_dynamics_refuses_single_observations() -> None:
    with pytest.raises(ValueError, match="sequence_length"):
        make().training_step(sequences(3, 1, torch.Generator().manual_seed(0)), 0)


def test_inverse_dynamics_with_both_gradients_adds_the_forward_error() -> None:
    torch.manual_seed(0)
    observation = {"vector": {"shape": [5], "dtype": "float32"}}
    action: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [3]}
    arguments: dict[str, Any] = {"features": 4, "hidden": (8,), "inverse_hidden": (8,)}
    encoder = InverseDynamics(observation, action, **arguments, feature_gradient="both", forward_share=0.3)
    plain = InverseDynamics(observation, action, **arguments)
    plain.load_state_dict(encoder.state_dict())
    dynamics = ForwardDynamics(ResidualDynamics(4, action, width=8))
    encoder.attach_models({"dynamics": dynamics})
    for module in (encoder, plain):
        module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    ended = torch.tensor([[False, True, False], [False, False, False]])
    batch = {
        "observation.vector": torch.randn(2, 3, 5), "action": torch.randint(0, 3, (2, 3, 1)), "ended": ended,
    }  # fmt: skip
    loss = encoder.training_step(batch, 0)
    loss.backward()
    latent = plain.encode(batch)
    rows = [(0, 0), (1, 0), (1, 1)]
    errors = []
    for row, step in rows:
        mean, _ = dynamics.network(latent[row, step][None], batch["action"][row, step][None], torch.zeros(1, 0))
        errors.append((mean[0] - latent[row, step + 1]).square().mean())
    expected = 0.7 * plain.training_step(batch, 0) + 0.3 * 0.5 * torch.stack(errors).mean()
    torch.testing.assert_close(loss, expected)
    expected.backward()
    for one, other in zip(encoder.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert encoder.network[1].weight.grad.abs().sum() > 0  # type: ignore[union-attr,operator]
    dynamics.zero_grad()
    encoder.training_step(batch, 0).backward()
    assert all(parameter.grad is None for parameter in dynamics.parameters())


def test_inverse_dynamics_with_both_gradients_needs_a_forward_dynamics() -> None:
    encoder = InverseDynamics(
        {"vector": {"shape": [5], "dtype": "float32"}},
        {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [3]}, feature_gradient="both",
    )  # fmt: skip
    with pytest.raises(ValueError, match="feature_gradient: both needs the ForwardDynamics 'dynamics'"):
        encoder.attach_models({})
