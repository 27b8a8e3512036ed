"""Agents record matching fields and reward only valid transitions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.agents import PolicyAgent, RandomAgent
from pamiq_exp.buffers import DataUser, RolloutBuffer
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.interaction import Agent, Interaction, Observation, continual
from pamiq_exp.models import (
    DynamicsNetwork,
    Encoder,
    MultiCategorical,
    PolicyValueNetwork,
    RandomFeatures,
    RecurrentDynamics,
    ResidualDynamics,
)
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.rewards import Extrinsic, PredictionError, WeightedSum
from pamiq_exp.spaces import ActionSpec
from tests.agents.worlds import OUTCOME_FIELDS, ClockWorld, Collector, Port, spaces

CLOCK = spaces(ClockWorld())
POLICY_FIELDS: dict[str, object] = {
    "observation": CLOCK["observation"],
    "action": CLOCK["action"],
    "log_prob": {"shape": [], "dtype": "float32"},
    "value": {"shape": [], "dtype": "float32"},
    **OUTCOME_FIELDS,
}


class ClockPolicy(nn.Module):
    """Chooses (t mod 3, t mod 2) at step t, whose value is t."""

    def forward(self, batch: Batch) -> tuple[MultiCategorical, Tensor]:
        step = batch["observation.step"][:, 0]
        chosen = torch.stack([step % 3, step % 2], -1).long()
        logits = 30.0 * nn.functional.one_hot(chosen, 3)
        return MultiCategorical(logits, torch.tensor([[True, True, True], [True, True, False]])), step


class ClockEncoder(Encoder):
    """The latent of step t is `offset` + t; one forward counts as one call."""

    def __init__(self, offset: float = 0.0) -> None:
        super().__init__(CLOCK["observation"], 1)
        self.register_buffer("offset", torch.tensor(offset))
        self.calls = 0
        self.is_warmed_up = True

    def encode(self, batch: Batch) -> Tensor:
        self.calls += 1
        return batch["observation.step"] + self.offset

    @property
    def warmed_up(self) -> bool:
        return self.is_warmed_up


class Persistence(DynamicsNetwork):
    """Predicts that nothing changes."""

    def __init__(self, features: int = 1) -> None:
        super().__init__(features)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return latent, state


def run(agent: Agent[Any, Any], environment: ClockWorld, turns: int) -> list[np.ndarray]:
    """Take turns; return the reward signal of each."""
    interaction, signals = Interaction(agent, environment), []
    for _ in range(turns):
        interaction.step()
        signals.append(agent.signals["reward"].copy())
    return signals


def test_policy_agent_collects_transitions_whose_fields_belong_to_one_step() -> None:
    world, collector = ClockWorld(), Collector(POLICY_FIELDS)
    agent = PolicyAgent(seed=0)
    agent.attach({"policy": Port(ClockPolicy(), version=7)}, {"rollout": collector})
    run(agent, world, 20)
    assert len(collector.records) == 19
    for t, record in enumerate(collector.records):
        assert (record["observation.step"] == t).all()
        np.testing.assert_array_equal(record["action"], np.tile([t % 3, t % 2], (3, 1)))
        np.testing.assert_array_equal(record["action"], world.actions[t])
        assert (record["value"] == t).all()
        np.testing.assert_allclose(record["log_prob"], 0, atol=1e-5)
        assert (record["model_version"] == 7).all()
        ended, next_ended = world.ended_at(t), world.ended_at(t + 1)
        np.testing.assert_array_equal(record["ended"], ended)
        np.testing.assert_array_equal(record["terminated"], next_ended & [True, False, True])
        np.testing.assert_array_equal(record["truncated"], next_ended & [False, True, False])
        np.testing.assert_array_equal(record["reward"], np.where(ended, 0, t))


def test_policy_agent_transitions_pass_through_a_rollout_buffer_unchanged() -> None:
    user = DataUser(RolloutBuffer(capacity=32, num_envs=3, fields=POLICY_FIELDS))
    agent = PolicyAgent(seed=0)
    agent.attach({"policy": Port(ClockPolicy())}, {"rollout": user.collector})
    run(agent, ClockWorld(), 20)
    user.update()
    rollout = user.take(16)
    np.testing.assert_array_equal(rollout["observation.step"][:, 0, 0], np.arange(17))
    np.testing.assert_array_equal(rollout["value"][:, 2], np.arange(17))


def test_policy_agent_reward_and_its_mean_skip_invalid_transitions() -> None:
    agent = PolicyAgent(seed=0)
    agent.attach({"policy": Port(ClockPolicy())}, {})
    signals = run(agent, ClockWorld(ends=(4,)), 10)
    assert [float(signal[0]) for signal in signals] == [0, 0, 1, 2, 3, 0, 5, 6, 7, 0]
    mean = np.mean([0, 1, 2, 3, 5, 6, 7])
    assert agent.report()["reward"] == pytest.approx(mean)
    assert agent.summary() == {"reward_mean": pytest.approx(mean)}
    assert "reward" not in agent.report()
    assert agent.summary() == {"reward_mean": pytest.approx(mean)}


def curious(encoder: Encoder | Port, dynamics: DynamicsNetwork) -> PolicyAgent:
    agent = PolicyAgent(seed=0, reward=PredictionError(), encoder="encoder")
    port = encoder if isinstance(encoder, Port) else Port(encoder)
    agent.attach({"policy": Port(ClockPolicy()), "encoder": port, "dynamics": Port(dynamics)}, {})
    return agent


def test_policy_agent_reward_compares_each_latent_with_its_prediction() -> None:
    signals = run(curious(ClockEncoder(), Persistence()), ClockWorld(), 8)
    assert [float(signal[2]) for signal in signals] == [0.0] + [1.0] * 7
    assert [float(signal[0]) for signal in signals] == [0.0] + [1.0] * 4 + [0.0] + [1.0] * 2


def test_policy_agent_reward_does_not_change_when_an_encoder_is_published() -> None:
    encoder = Port(ClockEncoder())
    agent, world = curious(encoder, Persistence()), ClockWorld()
    run(agent, world, 3)
    encoder.module, encoder.version = ClockEncoder(offset=500.0), 1
    signals = run(agent, world, 2)
    assert [float(signal[2]) for signal in signals] == [1.0, 1.0]
    assert encoder.module.calls == 2


def test_policy_agent_reward_is_zero_until_the_encoder_is_warmed_up() -> None:
    encoder = ClockEncoder()
    encoder.is_warmed_up = False
    agent, world = curious(encoder, Persistence()), ClockWorld()
    assert not np.any(run(agent, world, 3))
    encoder.is_warmed_up = True
    signals = run(agent, world, 3)
    assert [float(signal[2]) for signal in signals] == [0.0, 1.0, 1.0]


def test_random_agent_collects_latents_once_the_encoder_is_warmed_up() -> None:
    encoder, collector = ClockEncoder(offset=0.5), Collector({"latent": {"shape": [1], "dtype": "float32"}})
    agent, world = RandomAgent(CLOCK["action"], 3, seed=0, encoder="encoder"), ClockWorld()
    agent.attach({"encoder": Port(encoder)}, {"replay": collector})
    encoder.is_warmed_up = False
    run(agent, world, 3)
    encoder.is_warmed_up = True
    run(agent, world, 3)
    assert [float(record["latent"][0, 0]) for record in collector.records] == [3.5, 4.5]


def test_random_agent_error_for_an_unknown_field_lists_the_available_fields() -> None:
    agent = RandomAgent(CLOCK["action"], 3, seed=0)
    agent.attach({}, {"replay": Collector({"pressure": {"shape": [], "dtype": "float32"}})})
    with pytest.raises(KeyError, match=r"replay.*pressure.*observation\.step"):
        run(agent, ClockWorld(), 2)


def test_agents_name_a_missing_model_before_the_first_step() -> None:
    with pytest.raises(KeyError, match="eyes"):
        RandomAgent(CLOCK["action"], 3, seed=0, encoder="eyes").attach({}, {})
    with pytest.raises(KeyError, match="dynamics"):
        PolicyAgent(seed=0, reward=PredictionError()).attach({"policy": Port(ClockPolicy())}, {})


def test_policy_agent_refuses_a_reward_on_latents_without_an_encoder() -> None:
    reward = WeightedSum({"curious": PredictionError(), "world": Extrinsic()}, {"curious": 1.0, "world": 1.0})
    ports = {"policy": Port(ClockPolicy()), "dynamics": Port(Persistence())}
    with pytest.raises(ValueError, match="encoder"):
        PolicyAgent(seed=0, reward=reward).attach(ports, {})


def test_random_agent_refuses_a_model_that_is_no_encoder() -> None:
    agent = RandomAgent(CLOCK["action"], 3, seed=0, encoder="policy")
    agent.attach({"policy": Port(ClockPolicy())}, {})
    with pytest.raises(TypeError, match="Encoder"):
        run(agent, ClockWorld(), 1)


def real_agent() -> PolicyAgent:
    torch.manual_seed(0)
    encoder = RandomFeatures(CLOCK["observation"], features=4, warmup=2)
    encoder.training_step({"observation.step": torch.arange(40.0)[:, None]}, 0)
    reward = WeightedSum({"curious": PredictionError(), "world": Extrinsic()}, {"curious": 1.0, "world": 0.1})
    agent = PolicyAgent(seed=3, reward=reward, encoder="encoder")
    policy = PolicyValueNetwork({"observation": CLOCK["observation"]}, CLOCK["action"], hidden=(8,))
    dynamics = RecurrentDynamics(4, CLOCK["action"], RecurrentCore(Gru, 6, depth=1))
    agent.attach({"encoder": Port(encoder), "policy": Port(policy), "dynamics": Port(dynamics)}, {})
    return agent


@pytest.mark.parametrize("turns", [0, 1, 7])
def test_policy_agent_continues_identically_after_a_restore(turns: int) -> None:
    collectors = Collector(POLICY_FIELDS), Collector(POLICY_FIELDS)
    worlds = ClockWorld(), ClockWorld()
    first, second = real_agent(), real_agent()
    first.attach(first._models, {"rollout": collectors[0]})
    run(first, worlds[0], turns)
    collectors[0].records.clear()
    second.attach(second._models, {"rollout": collectors[1]})
    unclaimed, missing = restore_state(second, collect_state(first))
    assert not unclaimed
    assert not missing
    worlds[1].now = worlds[0].now
    first_signals, second_signals = run(first, worlds[0], 9), run(second, worlds[1], 9)
    np.testing.assert_array_equal(first_signals, second_signals)
    for ours, theirs in zip(collectors[0].records, collectors[1].records, strict=True):
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name])
    assert first.report() == second.report()
    assert first.summary() == second.summary()


def test_policy_agent_log_probs_match_those_computed_in_training() -> None:
    policy = PolicyValueNetwork({"observation": CLOCK["observation"]}, CLOCK["action"], hidden=(16,))
    user = DataUser(RolloutBuffer(capacity=64, num_envs=3, fields=POLICY_FIELDS))
    agent = PolicyAgent(seed=0)
    agent.attach({"policy": Port(policy)}, {"rollout": user.collector})
    run(agent, ClockWorld(), 40)
    user.update()
    rollout = user.take(38)
    with torch.no_grad():
        distribution, value = policy(rollout)
    torch.testing.assert_close(distribution.log_prob(rollout["action"]), rollout["log_prob"], atol=1e-5, rtol=0)
    torch.testing.assert_close(value, rollout["value"], atol=1e-5, rtol=1e-5)


def test_random_agent_actions_depend_on_the_seed() -> None:
    def actions(seed: int) -> np.ndarray:
        world = ClockWorld()
        run(RandomAgent(CLOCK["action"], 3, seed), world, 30)
        return np.stack(world.actions)

    np.testing.assert_array_equal(actions(1), actions(1))
    assert (actions(1) != actions(2)).any()


def test_policy_agent_reports_the_entropy_of_the_policy() -> None:
    agent = real_agent()
    run(agent, ClockWorld(), 5)
    metrics = agent.report()
    assert metrics["entropy"] == pytest.approx(np.log(6), abs=0.05)
    assert {"reward", "curious_raw", "world"} <= metrics.keys()


def curious_64() -> tuple[PolicyAgent, Observation]:
    """The agent of `experiment=pamiq2024` in one environment of 64x64 pixels."""
    observation = {"image": {"shape": [64, 64, 3], "dtype": "uint8"}}
    action: ActionSpec = {"kind": "multi_discrete", "shape": [5], "dtype": "int64", "nvec": [3, 3, 3, 2, 2]}
    encoder = RandomFeatures(observation, warmup=2)
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    encoder.training_step({"observation.image": torch.from_numpy(np.repeat(image, 4, 0))}, 0)
    policy = PolicyValueNetwork({"observation": observation}, action, channels=(8, 16, 32))
    agent = PolicyAgent(seed=0, reward=PredictionError(), encoder="encoder")
    ports = {"encoder": Port(encoder), "policy": Port(policy), "dynamics": Port(ResidualDynamics(128, action))}
    agent.attach(ports, {})
    return agent, continual({"image": image})


def test_policy_agent_step_takes_less_than_5_milliseconds() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        agent, observation = curious_64()
        costs = []
        for _ in range(200):
            start = time.process_time()
            agent.step(observation)
            costs.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert np.median(costs) < 5e-3
