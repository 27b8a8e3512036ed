"""Forward dynamics learns what can be predicted, from transitions within episodes."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from pamiq_exp.models import (
    DynamicsNetwork,
    ForwardDynamics,
    RandomFeatures,
    RecurrentDynamics,
    ResidualDynamics,
)
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.spaces import ActionSpec
from tests.models.dynamics.parts import ACTION, BOX, FEATURES, sequences


def networks(action: ActionSpec = ACTION) -> list[DynamicsNetwork]:
    torch.manual_seed(0)
    return [
        ResidualDynamics(FEATURES, action, width=16, depth=1),
        ResidualDynamics(FEATURES, action, width=16, depth=2, predict_change=True),
        RecurrentDynamics(FEATURES, action, RecurrentCore(Gru, 12, depth=1)),
        RecurrentDynamics(FEATURES, action, RecurrentCore(Gru, 12, depth=1), predict_change=True, action_width=4),
        ResidualDynamics(FEATURES, action, width=16, tokens=3, token_width=5),
    ]


def train(dynamics: ForwardDynamics, batches: list[dict[str, Tensor]], rounds: int) -> float:
    optimizer = dynamics.configure_optimizers()
    for _ in range(rounds):
        for batch in batches:
            loss = dynamics.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return float(dynamics.loss(batches[0]))


@pytest.mark.parametrize("network", networks())
def test_dynamics_network_sequence_predictions_match_single_steps(network: DynamicsNetwork) -> None:
    batch = sequences(3, 5)
    batch["ended"][1, 2] = True
    together = network.predict_sequence(batch["latent"], batch["action"], batch["ended"])[0].mean
    state = network.initial_state(3)
    for step in range(5):
        prediction, state = network(batch["latent"][:, step], batch["action"][:, step], state)
        state = state * ~batch["ended"][:, step, None]
        torch.testing.assert_close(prediction, together[:, step])


def test_recurrent_dynamics_state_is_reset_at_the_end_of_an_episode() -> None:
    network = RecurrentDynamics(FEATURES, ACTION, RecurrentCore(Gru, 12, depth=1))
    batch = sequences(1, 6)
    batch["ended"][0, 2] = True
    before = network.predict_sequence(batch["latent"], batch["action"], batch["ended"])[0].mean
    other_past = batch["latent"].clone()
    other_past[:, :3] += 1
    after = network.predict_sequence(other_past, batch["action"], batch["ended"])[0].mean
    assert not torch.equal(before[:, :3], after[:, :3])
    torch.testing.assert_close(before[:, 3:], after[:, 3:], rtol=0, atol=0)


def test_forward_dynamics_loss_is_the_mean_squared_error_within_episodes() -> None:
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION, width=16))
    batch = sequences(4, 5)
    batch["ended"][0, 1] = batch["ended"][3, 3] = batch["ended"][2, 4] = True
    arguments = (batch["latent"], batch["action"], batch["ended"])
    predictions = dynamics.network.predict_sequence(*arguments)[0].mean.detach()
    errors = [
        float(((predictions[row, t] - batch["latent"][row, t + 1]) ** 2).mean())
        for row in range(4)
        for t in range(4)
        if not batch["ended"][row, t]
    ]
    assert len(errors) == 14
    assert float(dynamics.loss(batch)) == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_forward_dynamics_has_no_loss_or_gradient_across_episode_ends() -> None:
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION, width=16))
    batch = sequences(2, 2)
    batch["ended"][:, 0] = True
    loss = dynamics.loss(batch)
    loss.backward()
    assert float(loss) == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in dynamics.parameters())


def test_forward_dynamics_loss_excludes_burn_in_steps() -> None:
    network = RecurrentDynamics(FEATURES, ACTION, RecurrentCore(Gru, 12, depth=1))
    batch = sequences(2, 6)
    full = network.predict_sequence(batch["latent"], batch["action"], batch["ended"])[0].mean
    expected = (full[:, 2:5] - batch["latent"][:, 3:]).square().mean()
    torch.testing.assert_close(ForwardDynamics(network, burn_in=2).loss(batch), expected)


def test_forward_dynamics_learns_the_effect_of_actions() -> None:
    torch.manual_seed(0)
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION, width=64), learning_rate=3e-3)
    batch = sequences(256, 2)
    effect = torch.zeros(3, 2, FEATURES)
    effect[1, 0, 0], effect[0, 1, 1] = 1.0, -1.0
    action = batch["action"][:, 0]
    batch["latent"][:, 1] = batch["latent"][:, 0] + effect[action[:, 0], action[:, 1]]
    assert train(dynamics, [batch], 300) < 0.02


def test_forward_dynamics_loss_on_noise_equals_its_variance() -> None:
    torch.manual_seed(0)
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION, width=32), learning_rate=1e-3)
    train(dynamics, [sequences(256, 2, seed) for seed in range(50)], 4)
    assert float(dynamics.loss(sequences(2000, 2, seed=99))) == pytest.approx(1.0, abs=0.05)


def test_forward_dynamics_encodes_observations_with_the_attached_encoder() -> None:
    encoder = RandomFeatures({"vector": {"shape": [4], "dtype": "float32"}}, features=FEATURES, warmup=16)
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION, width=8))
    keys = set(dynamics.state_dict())
    dynamics.attach_models({"encoder": encoder, "dynamics": dynamics})
    assert set(dynamics.state_dict()) == keys
    assert not dynamics.trainable
    frames = {"observation.vector": torch.randn(8, 3, 4)}
    encoder.training_step(frames, 0)
    assert dynamics.trainable
    batch = {name: value for name, value in sequences(8, 3).items() if name != "latent"}
    expected = dynamics.loss(batch | {"latent": encoder(frames)})
    torch.testing.assert_close(dynamics.loss(batch | frames), expected)


def test_forward_dynamics_publishes_only_its_network() -> None:
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION))
    assert dynamics.inference_module() is dynamics.network
    assert copy.deepcopy(dynamics.inference_module()).state_dict().keys() == dynamics.network.state_dict().keys()


def test_forward_dynamics_error_names_a_missing_encoder() -> None:
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION), encoder="eyes")
    with pytest.raises(ValueError, match="eyes"):
        dynamics.attach_models({"dynamics": dynamics})
    with pytest.raises(RuntimeError, match="attach_models"):
        dynamics.loss({name: value for name, value in sequences(1, 2).items() if name != "latent"})


def test_forward_dynamics_refuses_batches_without_a_next_step() -> None:
    dynamics = ForwardDynamics(ResidualDynamics(FEATURES, ACTION))
    with pytest.raises(ValueError, match="sequence_length"):
        dynamics.loss(sequences(3, 1))


def test_dynamics_network_accepts_box_actions() -> None:
    for network in networks(BOX):
        prediction, _ = network(torch.randn(3, FEATURES), torch.randn(3, 2), network.initial_state(3))
        assert prediction.shape == (3, FEATURES)
