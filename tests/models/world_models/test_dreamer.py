"""DreamerV3: the recurrent state-space model, its losses, and what policy and critic learn from it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pamiq_exp.models import Dreamer, DreamerNetwork
from pamiq_exp.models.nn.field_decoder import FieldDecoder, ImageDecoder
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.world_models.dreamer import replayed_returns
from pamiq_exp.models.world_models.imagination import Imagined
from pamiq_exp.models.world_models.rssm import NormalizedGru, Observed, Rssm, balanced_kl
from pamiq_exp.spaces import ActionSpec

TWO: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [2]}
VECTOR = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}
IMAGE = {"observation": {"image": {"shape": [20, 12, 3], "dtype": "uint8"}}}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def rssm(**changes: float) -> Rssm:
    return Rssm(6, TWO, memory=8, variables=3, classes=4, hidden=10, uniform=changes.get("uniform", 0.01))


def dreamer(inputs: dict[str, object] | None = None, **settings: float) -> Dreamer:
    network = DreamerNetwork(inputs or dict(VECTOR), TWO, memory=8, variables=3, classes=4, hidden=(16,))
    return Dreamer(network, horizon=3, **settings)  # type: ignore[arg-type]


def sequences(batch: int = 4, time: int = 6) -> dict[str, Tensor]:
    ended = torch.zeros(batch, time, dtype=torch.bool)
    terminated = torch.zeros(batch, time, dtype=torch.bool)
    ended[0, 2] = terminated[0, 1] = True
    return {
        "observation.vector": torch.randn(batch, time, 3),
        "action": torch.randint(0, 2, (batch, time, 1)),
        "reward": torch.randn(batch, time),
        "terminated": terminated,
        "ended": ended,
    }


def count(module: Dreamer, batch: Batch) -> None:
    module.network.encoder.count_inputs(batch)
    module.network.encoder.refresh_inputs()


def test_normalized_gru_matches_its_formula() -> None:
    cell = NormalizedGru(2, 3)
    value, memory = torch.randn(5, 2), torch.randn(5, 3)
    gates = torch.cat([value, memory], -1) @ cell.gates.weight.T
    normal = (gates - gates.mean(-1, keepdim=True)) / (gates.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    reset, candidate, update = normal[:, :3], normal[:, 3:6], normal[:, 6:]
    share = 1 / (1 + (1 - update).exp())
    expected = share * torch.tanh(candidate / (1 + (-reset).exp())) + (1 - share) * memory
    torch.testing.assert_close(cell(value, memory), expected)


def test_rssm_distributions_are_mixed_with_a_uniform_one() -> None:
    model = rssm(uniform=0.2)
    log_probs = model.prior(1000 * torch.randn(7, 8)).detach()
    assert log_probs.shape == (7, 3, 4)
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(7, 3))
    assert float(log_probs.exp().min()) >= 0.2 / 4 - 1e-6


def test_rssm_samples_follow_the_distribution_and_pass_gradients() -> None:
    model = rssm()
    log_probs = torch.tensor([0.7, 0.2, 0.1, 0.0]).clamp(min=1e-9).log().expand(4000, 3, 4).clone().requires_grad_()
    state = model.sample(torch.zeros(4000, 8), log_probs, torch.Generator().manual_seed(0))
    drawn = state[:, 8:].view(4000, 3, 4)
    torch.testing.assert_close(drawn.detach().round().sum(-1), torch.ones(4000, 3))
    torch.testing.assert_close(drawn.detach().mean((0, 1)), torch.tensor([0.7, 0.2, 0.1, 0.0]), atol=0.02, rtol=0)
    weights = torch.randn(3, 4)
    (drawn * weights).sum().backward()
    torch.testing.assert_close(log_probs.grad, (weights * log_probs.detach().exp()).expand(4000, 3, 4))


def test_rssm_resets_its_state_at_the_first_observation_of_an_episode() -> None:
    model = rssm()
    embedded, action = torch.randn(2, 5, 6), torch.randint(0, 2, (2, 5, 1))
    first = torch.zeros(2, 5, dtype=torch.bool)
    first[:, 3] = True
    long = model.observe(embedded, action, first, torch.Generator().manual_seed(1))
    short = model.observe(embedded[:, 3:4], action[:, 3:4], first[:, 3:4], torch.Generator().manual_seed(1))
    torch.testing.assert_close(long.prior[:, 3], short.prior[:, 0])
    torch.testing.assert_close(long.posterior[:, 3], short.posterior[:, 0])
    assert not torch.allclose(long.prior[:, 2], short.prior[:, 0])


def test_rssm_imagination_takes_the_actions_of_the_policy() -> None:
    network = DreamerNetwork(dict(VECTOR), TWO, memory=8, variables=3, classes=4, hidden=(16,))
    start = torch.randn(5, network.rssm.width)
    states, actions = network.rssm.imagine(start, network.behavior.act, 4, torch.Generator().manual_seed(0))
    assert states.shape == (5, 5, network.rssm.width)
    assert actions.shape == (4, 5, 1)
    for step in range(4):
        expected = network.rssm.advance(states[step], network.rssm.action(actions[step]))
        torch.testing.assert_close(states[step + 1, :, :8], expected)


def test_balanced_kl_matches_torch_and_each_term_trains_one_side() -> None:
    logits = torch.randn(2, 2, 5, 3, 4, requires_grad=True)
    prior, posterior = (part.log_softmax(-1) for part in logits)
    dynamics, representation = balanced_kl(Observed(torch.zeros(2, 5, 1), prior, posterior), free_nats=0.0)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=posterior), torch.distributions.Categorical(logits=prior)
    ).sum(-1)
    torch.testing.assert_close(dynamics, expected)
    torch.testing.assert_close(representation, expected)
    (gradient,) = torch.autograd.grad(dynamics.sum(), logits, retain_graph=True)
    assert float(gradient[0].abs().sum()) > 0
    assert float(gradient[1].abs().sum()) == 0
    (gradient,) = torch.autograd.grad(representation.sum(), logits)
    assert float(gradient[0].abs().sum()) == 0
    assert float(gradient[1].abs().sum()) > 0


def test_balanced_kl_below_the_free_nats_has_no_gradient() -> None:
    logits = torch.zeros(1, 1, 3, 4, requires_grad=True)
    near = (logits + 0.01 * torch.randn(1, 1, 3, 4)).log_softmax(-1)
    dynamics, _ = balanced_kl(Observed(torch.zeros(1, 1, 1), logits.log_softmax(-1), near), free_nats=1.0)
    torch.testing.assert_close(dynamics, torch.ones(1, 1))
    (gradient,) = torch.autograd.grad(dynamics.sum(), logits)
    assert float(gradient.abs().sum()) == 0


def test_image_decoder_gives_images_of_any_size() -> None:
    for shape in ([20, 12, 3], [7, 7, 1], [64, 48, 3], [33, 9, 2]):
        image = ImageDecoder(5, shape, (4, 6), "silu")(torch.randn(2, 5))
        assert list(image.shape) == [2, *shape]


def test_field_decoder_loss_is_the_squared_error_summed_over_all_numbers() -> None:
    fields = {"observation.vector": {"shape": [3], "dtype": "float32"}, "depth": {"shape": [], "dtype": "float32"}}
    decoder = FieldDecoder(4, fields, (8,), (), "silu")  # type: ignore[arg-type]
    features, vector, depth = torch.randn(5, 4), torch.randn(5, 3), torch.randn(5)
    decoded = decoder.decode(features)
    expected = ((decoded["observation.vector"] - vector) ** 2).sum(-1) + (decoded["depth"] - depth) ** 2
    torch.testing.assert_close(decoder.loss(features, {"observation.vector": vector, "depth": depth}), expected)


def test_dreamer_pairs_a_state_with_the_reward_that_came_with_its_observation() -> None:
    module = dreamer()
    batch = sequences()
    seen: dict[str, Tensor] = {}

    def spy(features: Tensor, target: Tensor) -> Tensor:
        seen["target"] = target
        return torch.zeros_like(target)

    module.reward.loss = spy  # type: ignore[method-assign]
    module.training_step(batch, 0)
    target = seen["target"]
    torch.testing.assert_close(target[1:, 1:], batch["reward"][1:, :-1])
    assert float(target[0, 3]) == 0  # the first observation of an episode comes with no reward
    torch.testing.assert_close(target[0, 2], batch["reward"][0, 1])


def test_dreamer_weights_imagined_steps_by_discounted_continuation() -> None:
    module = dreamer(gamma=0.9)
    with torch.no_grad():
        module.continuation[-1].weight.zero_()
        module.continuation[-1].bias.fill_(math.log(3.0))  # continues with probability 3/4
    start = torch.randn(2, module.network.rssm.width)
    _, weight = module._imagine(start, torch.tensor([1.0, 0.0]))
    expected = torch.tensor([1.0, 0.9 * 0.75, (0.9 * 0.75) ** 2])
    torch.testing.assert_close(weight[:, 0], expected)
    torch.testing.assert_close(weight[:, 1], torch.zeros(3))


def test_dreamer_with_imagine_last_imagines_only_from_the_last_steps() -> None:
    module = dreamer(imagine_last=2)
    starts: list[Tensor] = []
    imagine = module._imagine

    def spy(start: Tensor, continues: Tensor) -> tuple[Imagined, Tensor]:
        starts.append(start)
        return imagine(start, continues)

    module._imagine = spy  # type: ignore[method-assign]
    batch = sequences(batch=4, time=6)
    count(module, batch)
    torch.manual_seed(1)
    expected = module.observe(batch).state[:, -2:].flatten(0, 1)
    torch.manual_seed(1)
    module.training_step(batch, 0)  # counts the same inputs again: mean and variance stay
    torch.testing.assert_close(starts, [expected.detach()])


def test_dreamer_behavior_does_not_train_the_world_model() -> None:
    module = dreamer(beta_dynamics=0.0, beta_representation=0.0, replay_value_weight=0.0)
    batch = sequences()
    count(module, batch)
    torch.manual_seed(1)
    model_loss, _ = module._model_loss(module.observe(batch), batch)
    model_loss.backward()
    alone = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    assert not any("behavior" in name for name in alone)
    expected = {name: gradient.clone() for name, gradient in alone.items()}
    module.zero_grad()
    torch.manual_seed(1)
    module.training_step(batch, 0).backward()  # counts the same inputs again: mean and variance stay
    gradients = dict(module.named_parameters())
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name].grad, gradient)
    assert any(float(p.grad.abs().sum()) > 0 for n, p in gradients.items() if "behavior" in n and p.grad is not None)


def test_dreamer_normalizes_vector_inputs_of_any_scale() -> None:
    module = dreamer()
    batch = sequences(batch=64)
    small = {**batch, "observation.vector": 5.0 + 1e-2 * batch["observation.vector"]}
    count(module, small)
    read = module.network.encoder.scaled(small)["observation.vector"]
    torch.testing.assert_close(read.mean(0), torch.zeros(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(read.var(0, unbiased=False), torch.ones(3), atol=1e-2, rtol=0)


def test_replayed_returns_match_the_lambda_return_recursion() -> None:
    """Against a recursion written step by step, with an episode that terminates and one that is cut."""
    torch.manual_seed(3)
    gamma, mix = 0.9, 0.7
    batch = sequences(batch=3, time=7)
    batch["ended"][1, 3] = True  # cut: not terminated
    value = torch.randn(3, 7)
    found = replayed_returns(batch, value, gamma, mix)
    for row in range(3):
        expected = float(value[row, -1])
        for t in reversed(range(6)):
            reward = float(batch["reward"][row, t])
            if batch["terminated"][row, t]:
                expected = reward
            elif batch["ended"][row, t + 1]:
                expected = reward + gamma * float(value[row, t + 1])
            else:
                expected = reward + gamma * ((1 - mix) * float(value[row, t + 1]) + mix * expected)
            if not batch["ended"][row, t]:
                assert float(found[row, t]) == pytest.approx(expected, rel=1e-5)


def test_dreamer_replay_value_loss_trains_the_critic_and_the_world_model() -> None:
    module = dreamer()
    batch = sequences()
    count(module, batch)
    torch.nn.init.normal_(module.network.behavior.critic.head.logits.weight)
    state = module.observe(batch).state
    loss = module._replay_value_loss(state, batch, torch.randn(24))
    loss.backward()
    for name in ("network.behavior.critic.head.logits.weight", "network.rssm.cell.gates.weight"):
        gradient = module.get_parameter(name).grad
        assert gradient is not None
        assert float(gradient.abs().sum()) > 0


def test_dreamer_single_steps_match_a_scan_over_the_same_sequence() -> None:
    """Memory carried from step to step gives the states of a scan over the same sequence."""
    module = dreamer()
    network = module.network
    batch = sequences(batch=3, time=4)
    batch["ended"].zero_()
    observed = network.rssm.observe(
        network.encoder(batch), batch["action"], batch["ended"], torch.Generator().manual_seed(5)
    )
    generator = torch.Generator().manual_seed(5)
    state = network.initial_state(3)
    for step in range(4):
        fields: Batch = {"observation.vector": batch["observation.vector"][:, step]}
        _, value, state = network.step(fields, state, generator)
        assert value.shape == (3,)
        torch.testing.assert_close(state[:, 0, : network.rssm.width], observed.state[:, step])
        state = network.remember(state, batch["action"][:, step])


def test_dreamer_learns_to_predict_an_episode() -> None:
    """A counter that is rewarded at two: reconstruction, reward and continuation become predictable."""
    module = dreamer(learning_rate=1e-2)
    optimizer = module.configure_optimizers()
    turns = torch.arange(8) % 4
    batch = {
        "observation.vector": torch.nn.functional.one_hot(turns.clamp(max=2), 3).float().expand(4, 8, 3),
        "action": torch.zeros(4, 8, 1, dtype=torch.int64),
        "reward": (turns == 2).float().expand(4, 8),
        "terminated": (turns == 2).expand(4, 8),
        "ended": (turns == 3).expand(4, 8),
    }
    losses = []
    for index in range(120):
        loss = module.training_step(batch, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.on_train_batch_end(None, batch, index)
        losses.append(module._model_loss(module.observe(batch), batch)[1])
    for name in ("reconstruction_loss", "reward_loss", "continuation_loss"):
        assert float(losses[-1][name]) < 0.2 * float(losses[0][name]), name


def test_dreamer_has_a_finite_loss_on_images() -> None:
    module = dreamer(dict(IMAGE))
    batch = sequences()
    batch["observation.image"] = torch.randint(0, 256, (4, 6, 20, 12, 3), dtype=torch.uint8)
    loss = module.training_step(batch, 0)
    loss.backward()
    assert math.isfinite(float(loss.detach()))


def test_dreamer_refuses_single_transitions_and_invalid_horizons() -> None:
    with pytest.raises(ValueError, match="sequence_length"):
        dreamer().training_step({name: value[:, 0] for name, value in sequences().items()}, 0)
    with pytest.raises(ValueError, match="horizon"):
        Dreamer(dreamer().network, horizon=0)
    with pytest.raises(ValueError, match="imagine_last must be at least 2"):
        Dreamer(dreamer().network, imagine_last=1)
