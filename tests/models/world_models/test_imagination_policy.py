"""Policies learned in imagination, in worlds whose optimal policy is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models import (
    DynamicsNetwork,
    ForwardDynamics,
    ImaginationActorCritic,
    ImaginationPolicy,
    PlainFeatures,
    RecurrentDynamics,
    RewardHeads,
    RewardHeadsNetwork,
)
from pamiq_exp.models.cores import QLstm, RecurrentCore
from pamiq_exp.models.world_models.behavior import ReturnRange
from pamiq_exp.models.world_models.world_model import WorldModel
from pamiq_exp.spaces import ActionSpec

PLACES = 5
TWO: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [2]}
LINE = {"vector": {"shape": [PLACES], "dtype": "float32"}}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class Corridor(DynamicsNetwork):
    """Five places in a row, one-hot; action 1 goes right, action 0 left. Known exactly."""

    def __init__(self) -> None:
        super().__init__(PLACES)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        place = (latent.argmax(-1) + 2 * action[:, 0] - 1).clamp(0, PLACES - 1)
        return torch.nn.functional.one_hot(place, PLACES).float() + 0 * self.unused, state


class Known(RewardHeadsNetwork):
    """A small reward at the left end, a large one for reaching the right end, which ends the episode."""

    def forward(self, latent: Tensor, action: Tensor, prediction: Tensor) -> tuple[Tensor, Tensor]:
        arrived = prediction[..., -1] > 0.5
        reward = 0.1 * prediction[..., 0] + 2.0 * arrived
        return reward, (~arrived).float()


def encoder() -> PlainFeatures:
    module = PlainFeatures(LINE, warmup=2)
    module.training_step({"observation.vector": torch.randn(8, PLACES)}, 0)
    return module


def world(
    network: DynamicsNetwork | None = None, outcome: RewardHeadsNetwork | None = None
) -> dict[str, LightningModule]:
    return {
        "encoder": encoder(),
        "dynamics": ForwardDynamics(network or Corridor()),
        "outcome": RewardHeads(outcome or Known(PLACES, TWO)),
    }


def dreamer(models: dict[str, LightningModule], **settings: Any) -> ImaginationActorCritic:
    module = ImaginationActorCritic(
        ImaginationPolicy(PLACES, TWO, hidden=(32,)), **({"min_reward_r2": None, "learning_rate": 3e-3} | settings)
    )
    module.attach_models(models)
    return module


def replayed(count: int = 16, length: int = 4) -> dict[str, Tensor]:
    place = torch.randint(0, PLACES - 1, (count, length))
    return {
        "latent": torch.nn.functional.one_hot(place, PLACES).float(),
        "action": torch.randint(0, 2, (count, length, 1)),
        "ended": torch.zeros(count, length, dtype=torch.bool),
        "terminated": torch.zeros(count, length, dtype=torch.bool),
        "reward": torch.zeros(count, length),
    }


def train(module: ImaginationActorCritic, batches: int) -> None:
    optimizer = module.configure_optimizers()
    for index in range(batches):
        batch = replayed()
        loss = module.training_step(batch, index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        module.on_train_batch_end(None, batch, index)


def test_imagination_actor_critic_learns_the_optimal_policy_and_its_values() -> None:
    module = dreamer(world(), gamma=0.9, horizon=8, critic_ema_decay=0.9)
    train(module, 250)
    places = torch.eye(PLACES)[:-1]
    probabilities = module.network.act(places).log_probs.exp()[:, 0, 1]
    assert (probabilities > 0.9).all(), probabilities
    distance = torch.arange(PLACES - 1, 0, -1)
    torch.testing.assert_close(module.network.critic(places), 2.0 * 0.9 ** (distance - 1.0), atol=0.25, rtol=0)


def test_imagination_actor_critic_with_low_gamma_prefers_the_immediate_reward() -> None:
    module = dreamer(world(), gamma=0.2, horizon=8)
    train(module, 250)
    probabilities = module.network.act(torch.eye(PLACES)[:2]).log_probs.exp()[:, 0, 1]
    assert (probabilities < 0.1).all(), probabilities


def test_imagination_actor_critic_trains_only_policy_and_critic() -> None:
    models = world()
    module = dreamer(models)
    module.training_step(replayed(), 0).backward()
    others = [value for model in models.values() for value in model.parameters()]
    assert all(value.grad is None for value in [*others, *module.slow_critic.parameters()])
    assert all(value.grad is not None for value in module.network.parameters())
    trained = {id(value) for group in module.configure_optimizers().param_groups for value in group["params"]}
    assert trained == {id(value) for value in module.network.parameters()}
    names = {name.split(".")[0] for name in module.state_dict()}
    assert names == {"network", "slow_critic", "range"}, "the world is trained and saved elsewhere"


def test_imagination_actor_critic_gives_weight_0_to_steps_after_an_episode_end() -> None:
    module = dreamer(world())
    batch = replayed(3, 2)
    batch["ended"][1, 1] = True
    imagined, weight = module.imagine(batch)
    assert weight.shape == imagined.reward.shape == (15, 6)
    assert weight[:, 3].sum() == 0, "imagination does not begin at the last observation of an episode"
    for start in (0, 1, 2, 4, 5):
        over = torch.nonzero(imagined.continuation[:, start] == 0).flatten()
        last = int(over[0]) if len(over) else 14
        assert (weight[: last + 1, start] == 1).all()
        assert (weight[last + 1 :, start] == 0).all()


def test_imagination_actor_critic_slow_critic_is_an_exponential_moving_average() -> None:
    module = dreamer(world(), critic_ema_decay=0.9)
    with torch.no_grad():
        for value in module.network.critic.parameters():
            value.fill_(1.0)
        for value in module.slow_critic.parameters():
            value.zero_()
    for _ in range(7):
        module.on_train_batch_end(None, {}, 0)
    for value in module.slow_critic.parameters():
        torch.testing.assert_close(value, torch.full_like(value, 1 - 0.9**7))


def test_imagination_actor_critic_trains_only_once_rewards_are_predicted() -> None:
    models = world()
    module = dreamer(models, min_reward_r2=0.1)
    outcome = models["outcome"]
    assert isinstance(outcome, RewardHeads)
    target = torch.randn(200)
    assert not module.trainable
    outcome.reward_metrics.update(torch.zeros(200), target, torch.ones(200))
    assert not module.trainable
    for _ in range(100):
        outcome.reward_metrics.update(target + 0.1 * torch.randn(200), target, torch.ones(200))
    assert float(outcome.reward_r2) > 0.5
    assert module.trainable


def test_imagination_actor_critic_refuses_a_run_without_reward_heads() -> None:
    models = world()
    del models["outcome"]
    with pytest.raises(ValueError, match="needs the RewardHeads 'outcome'"):
        dreamer(models)


def test_return_range_is_a_moving_average_of_at_least_1() -> None:
    spread = ReturnRange(ema_decay=0.5)
    assert float(spread.update(torch.linspace(0, 1e-3, 101))) == 1.0
    spread = ReturnRange(ema_decay=0.5)
    assert float(spread.update(torch.linspace(0, 100, 101))) == pytest.approx(90)
    assert float(spread.update(torch.linspace(0, 10, 101))) == pytest.approx(0.5 * 90 + 0.5 * 9)


def test_world_model_encode_context_matches_states_of_single_steps() -> None:
    network = RecurrentDynamics(PLACES, TWO, RecurrentCore(QLstm, 8, depth=2))
    models = world(network)
    world_model = WorldModel()
    world_model.attach(models)
    batch = replayed(3, 6)
    batch["ended"][1, 2] = True
    context = world_model.encode_context(batch, burn_in=2)
    assert context.latent.shape == (3, 4, PLACES)
    for row in range(3):
        state = network.initial_state(1)
        for t in range(6):
            if t >= 2:
                torch.testing.assert_close(context.state[row, t - 2], state[0], atol=1e-5, rtol=1e-5)
            prediction, state = network(batch["latent"][row, t][None], batch["action"][row, t][None], state)
            if t >= 2:
                torch.testing.assert_close(context.prediction[row, t - 2], prediction[0], atol=1e-5, rtol=1e-5)
            if batch["ended"][row, t]:
                state = network.initial_state(1)
    assert context.weight[1].tolist() == [0, 1, 1, 1]


def walked(count: int = 64, length: int = 3) -> dict[str, Tensor]:
    """A random walk in the corridor, with the rewards and ends of `Known`."""
    batch, known = replayed(count, length), Known(PLACES, TWO)
    latent = batch["latent"][:, 0]
    for t in range(length):
        batch["latent"][:, t] = latent
        latent, _ = Corridor()(latent, batch["action"][:, t], torch.zeros(count, 0))
        latent = latent.detach()
        reward, going_on = known(batch["latent"][:, t], batch["action"][:, t], latent)
        batch["reward"][:, t], batch["terminated"][:, t] = reward, going_on == 0
        batch["ended"][:, t] |= batch["latent"][:, t, -1] == 1
    return batch


def test_reward_heads_learn_rewards_and_continuation() -> None:
    models = world(outcome=RewardHeadsNetwork(PLACES, TWO, hidden=(32,)))
    module = models["outcome"]
    assert isinstance(module, RewardHeads)
    module.attach_models(models)
    optimizer = torch.optim.Adam(module.network.parameters(), lr=1e-2)
    for index in range(200):
        loss = module.training_step(walked(), index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(module.reward_r2) > 0.8
    start = torch.eye(PLACES)[[3, 3, 1]]
    action = torch.tensor([[1], [0], [0]])
    reward, going_on = module.network(start, action, Corridor()(start, action, torch.zeros(3, 0))[0])
    torch.testing.assert_close(reward, torch.tensor([2.0, 0.0, 0.1]), atol=0.1, rtol=0)
    torch.testing.assert_close(going_on, torch.tensor([0.0, 1.0, 1.0]), atol=0.05, rtol=0)


class Mistaken(Corridor):
    """Predicts wrong features for action 1."""

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        prediction, state = super().forward(latent, action, state)
        return torch.where(action == 1, torch.full_like(prediction, 0.2), prediction), state


def test_reward_heads_compute_prediction_errors_with_the_current_dynamics() -> None:
    models = world(Mistaken(), RewardHeadsNetwork(PLACES, TWO, hidden=(32,)))
    module = RewardHeads(RewardHeadsNetwork(PLACES, TWO, hidden=(32,)), reward="prediction_error")
    module.attach_models(models)
    optimizer = torch.optim.Adam(module.network.parameters(), lr=1e-2)

    def without_rewards() -> dict[str, Tensor]:
        return walked() | {"reward": torch.full((64, 3), torch.nan)}

    for index in range(100):
        loss = module.training_step(without_rewards(), index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(module.reward_r2) > 0.8
    scale, new = module.error_moments.std, without_rewards()
    with torch.no_grad():
        assert float(module.validation_step(new, 0)) < 0.1
    assert module.error_moments.std == scale, "measuring changes nothing"
    start, action = torch.eye(PLACES)[[1, 1]], torch.tensor([[0], [1]])
    reward, _ = module.network(start, action, Mistaken()(start, action, torch.zeros(2, 0))[0])
    wrong = (torch.eye(PLACES)[2] - 0.2).square().mean() / scale
    torch.testing.assert_close(reward.double(), torch.stack([0 * wrong, wrong]).double(), atol=0.2, rtol=0)


def test_reward_heads_refuse_an_unknown_reward() -> None:
    with pytest.raises(ValueError, match="reward must be one of recorded, prediction_error"):
        RewardHeads(Known(PLACES, TWO), reward="novelty")  # type: ignore[arg-type]


def test_reward_heads_r2_is_high_for_a_well_predicted_constant_reward() -> None:
    models = world()
    outcome = models["outcome"]
    assert isinstance(outcome, RewardHeads)
    assert float(outcome.reward_r2) == 0
    outcome.reward_metrics.update(torch.full((9,), 1.02), torch.ones(9), torch.ones(9))
    assert float(outcome.reward_r2) > 0.9


def test_imagination_actor_critic_and_reward_heads_have_finite_losses_in_bfloat16() -> None:
    models = world(outcome=RewardHeadsNetwork(PLACES, TWO, hidden=(32,)))
    for model in models.values():
        model.to(torch.bfloat16)
    module = dreamer(models).to(torch.bfloat16)
    batch = {name: value.bfloat16() if value.is_floating_point() else value for name, value in replayed().items()}
    outcome = models["outcome"]
    assert isinstance(outcome, RewardHeads)
    outcome.attach_models(models)
    for model in (outcome, module):
        loss = model.training_step(batch, 0)
        loss.backward()
        assert torch.isfinite(loss)


def test_imagination_policy_critic_loss_is_the_same_when_compiled() -> None:
    module = dreamer(world())
    imagined, weight = module.imagine(replayed())

    def critic_loss(latent: Tensor, target: Tensor) -> Tensor:
        return (module.network.critic.loss(latent, target) * weight).mean()

    compiled = torch.compile(critic_loss, backend="aot_eager")
    target = 3 * torch.randn_like(imagined.reward)
    torch.testing.assert_close(compiled(imagined.latent[:-1], target), critic_loss(imagined.latent[:-1], target))
