"""An observation or a reward that is not finite passes through an agent without staying in it."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.agents import PolicyAgent, RandomAgent
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.interaction import Observation
from pamiq_exp.models import PlainFeatures, RecurrentDynamics, RecurrentPolicyValue
from pamiq_exp.models.cores import QLstm, RecurrentCore
from pamiq_exp.rewards import (
    DiscountedStd,
    EllipticalBonus,
    ExponentialStd,
    Extrinsic,
    Normalizer,
    OpenLoopError,
    PredictionError,
    Reward,
)
from pamiq_exp.spaces import ActionSpec
from tests.agents.worlds import OUTCOME_FIELDS, Collector, Port

NUM_ENVS, SIZE = 3, 4
ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [3]}
VECTOR = {"vector": {"shape": [SIZE], "dtype": "float32"}}
FIELDS: dict[str, object] = {"observation": VECTOR, "action": ACTION, **OUTCOME_FIELDS}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def observation(turn: int, value: float | None = None, reward: float | None = None) -> Observation:
    world = np.random.default_rng(turn)
    vector, paid = world.random((NUM_ENVS, SIZE), dtype=np.float32), world.random(NUM_ENVS, dtype=np.float32)
    if value is not None:
        vector[1, 2] = value
    if reward is not None:
        paid[1] = reward
    never = np.zeros(NUM_ENVS, dtype=np.bool_)
    return Observation({"vector": vector}, paid, never, never)


def encoder() -> PlainFeatures:
    module = PlainFeatures(VECTOR, warmup=2)
    module.training_step({"observation.vector": torch.rand(8, SIZE)}, 0)
    return module


def agent_with(reward: Reward, collector: Collector) -> PolicyAgent:
    core = RecurrentCore(QLstm, width=8, depth=1, expansion=1)
    ports = {
        "policy": Port(RecurrentPolicyValue({"observation": VECTOR}, ACTION, copy.deepcopy(core))),
        "encoder": Port(encoder()),
        "dynamics": Port(RecurrentDynamics(SIZE, ACTION, copy.deepcopy(core))),
    }
    agent = PolicyAgent(0, reward, "encoder")
    agent.attach(ports, {"data": collector})
    return agent


REWARDS: list[Any] = [
    lambda: PredictionError(DiscountedStd(NUM_ENVS, warmup=4)),
    lambda: OpenLoopError(ExponentialStd(warmup=4)),
    lambda: EllipticalBonus(DiscountedStd(NUM_ENVS, warmup=4)),
    lambda: Extrinsic(DiscountedStd(NUM_ENVS, warmup=4)),
]


def numbers(state: Any) -> list[float]:
    if isinstance(state, dict):
        return [number for each in state.values() for number in numbers(each)]
    if isinstance(state, (list, tuple)):
        return [number for each in state for number in numbers(each)]
    if isinstance(state, (np.ndarray, Tensor)):
        return [float(number) for number in np.asarray(state, dtype=np.float64).reshape(-1)]
    return [state] if isinstance(state, float) else []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", REWARDS)
def test_policy_agent_records_a_nonfinite_observation_and_keeps_its_state_finite(
    make: Any, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    collector = Collector(FIELDS)
    agent = agent_with(make(), collector)
    for turn in range(20):
        agent.step(observation(turn, value if turn in (8, 12) else None))
    assert all(map(math.isfinite, numbers(collect_state(agent))))
    assert all(map(math.isfinite, {**agent.report(), **agent.summary()}.values()))
    assert agent.summary()["nonfinite_observations"] == 2
    assert caplog.text.count("environment 1 has a number that is not finite in 'vector'") == 1
    broken = [t for t, row in enumerate(collector.records) if not np.isfinite(row["observation.vector"]).all()]
    assert broken == [8, 12]
    rewards = np.array([row["reward"] for row in collector.records])
    lost = [tuple(index) for index in np.argwhere(~np.isfinite(rewards))]
    assert lost == [(7, 1), (8, 1), (11, 1), (12, 1)], "the transitions into and out of it"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_policy_agent_records_a_nonfinite_reward_and_keeps_its_metrics_finite(
    value: float, caplog: pytest.LogCaptureFixture
) -> None:
    found, expected = Collector(FIELDS), Collector(FIELDS)
    agent, other = (agent_with(Extrinsic(DiscountedStd(NUM_ENVS, warmup=4)), each) for each in (found, expected))
    for turn in range(20):
        agent.step(observation(turn, reward=value if turn == 8 else None))
        other.step(observation(turn))
    assert [bool(np.isfinite(row["reward"]).all()) for row in found.records].count(False) == 1
    assert agent.summary()["nonfinite_rewards"] == 1
    assert "environment 1 has the extrinsic reward" in caplog.text
    assert all(map(math.isfinite, {**agent.report(), **agent.summary()}.values()))
    assert "nonfinite_rewards" not in other.summary()


@pytest.mark.parametrize("make", [lambda: DiscountedStd(2, warmup=3), lambda: ExponentialStd(warmup=3)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_normalizer_ignores_nonfinite_rewards(make: Any, value: float) -> None:
    scale, reference = make(), make()
    assert isinstance(scale, Normalizer)
    both, first = np.array([True, True]), np.array([True, False])
    for turn in range(10):
        reward = np.array([turn, 2 * turn], dtype=np.float32)
        bad = reward.copy()
        valid = both
        if turn in (1, 5):
            bad[1], valid = value, first
        result, wanted = scale(bad, both), reference(reward, valid)
        assert result[0] == wanted[0]
        assert np.isfinite(result[1]) == (turn not in (1, 5))
    assert numbers(scale.state()) == numbers(reference.state())


def test_random_agent_restores_the_count_of_nonfinite_observations() -> None:
    agents = [RandomAgent(ACTION, NUM_ENVS, 0) for _ in range(2)]
    for agent in agents:
        agent.attach({}, {})
        agent.step(observation(0))
    agents[0].step(observation(1, math.nan))
    restore_state(agents[1], collect_state(agents[0]))
    agents[1].step(observation(2, math.nan))
    assert agents[1].summary()["nonfinite_observations"] == 2


class Broken(nn.Module):
    def forward(self, batch: Any) -> Any:
        from pamiq_exp.models import MultiCategorical

        return MultiCategorical(torch.full((NUM_ENVS, 1, 3), math.nan), torch.ones(1, 3, dtype=torch.bool)), torch.ones(
            NUM_ENVS
        )


def test_policy_agent_error_names_nonfinite_action_probabilities() -> None:
    agent = PolicyAgent(0)
    agent.attach({"policy": Port(Broken())}, {})
    with pytest.raises(ArithmeticError, match="probabilities of the actions are not finite"):
        agent.step(observation(0))
