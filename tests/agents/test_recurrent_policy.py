"""The memory of a recurrent policy belongs to the agent, one for each environment."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from pamiq_exp.agents import PolicyAgent
from pamiq_exp.buffers import DataUser, RolloutBuffer
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.interaction import Interaction
from pamiq_exp.models import RandomFeatures, RecurrentDynamics, RecurrentPolicyValue
from pamiq_exp.models.cores import Gru, QLstm, RecurrentCore, SioConv
from pamiq_exp.rewards import PredictionError
from tests.agents.worlds import OUTCOME_FIELDS, ClockWorld, Collector, Port, spaces

CLOCK = spaces(ClockWorld())
FIELDS: dict[str, object] = {
    "observation": CLOCK["observation"],
    "action": CLOCK["action"],
    "log_prob": {"shape": [], "dtype": "float32"},
    "value": {"shape": [], "dtype": "float32"},
    "policy_state": {"shape": [2, 8], "dtype": "float32"},
    **OUTCOME_FIELDS,
}


def policy() -> RecurrentPolicyValue:
    torch.manual_seed(0)
    core = RecurrentCore(partial(SioConv, heads=2, gain=1.0), 8, depth=2, expansion=2)
    network = RecurrentPolicyValue({"observation": CLOCK["observation"]}, CLOCK["action"], core)
    with torch.no_grad():
        for parameter in network.policy.parameters():
            parameter.add_(torch.randn(parameter.shape))
    return network


def agent_with(collectors: dict[str, Any], network: RecurrentPolicyValue | None = None, **options: Any) -> PolicyAgent:
    torch.manual_seed(1)
    encoder = RandomFeatures(CLOCK["observation"], features=4, warmup=2)
    encoder.training_step({"observation.step": torch.arange(40.0)[:, None]}, 0)
    # Of another width than the policy's: if the two memories were ever mixed up, nothing would run.
    dynamics = RecurrentDynamics(4, CLOCK["action"], RecurrentCore(Gru, 6, depth=1))
    agent = PolicyAgent(seed=0, reward=PredictionError(), encoder="encoder", **options)
    ports = {"policy": Port(network or policy()), "encoder": Port(encoder), "dynamics": Port(dynamics)}
    agent.attach(ports, collectors)
    return agent


def run(agent: PolicyAgent, world: ClockWorld, turns: int) -> None:
    interaction = Interaction(agent, world)
    for _ in range(turns):
        interaction.step()


def test_policy_agent_carries_the_recurrent_state_and_resets_it_at_episode_ends() -> None:
    network, collector = policy(), Collector(FIELDS)
    world = ClockWorld()
    run(agent_with({"rollout": collector}, network), world, 15)
    state = network.initial_state(3)
    for t, record in enumerate(collector.records):
        np.testing.assert_allclose(record["policy_state"], state.numpy(), atol=1e-6)
        with torch.no_grad():
            step = network.step({"observation.step": torch.full((3, 1), float(t))}, state)
        np.testing.assert_allclose(record["value"], step.value.numpy(), atol=1e-5)
        ended = world.ended_at(t)
        state = step.state * ~torch.from_numpy(ended)[:, None, None]
        assert not t or (np.abs(record["policy_state"][2]) > 0).any()


def test_policy_agent_log_probs_match_training_on_any_window() -> None:
    network = policy()
    user = DataUser(RolloutBuffer(capacity=64, num_envs=3, fields=FIELDS))
    run(agent_with({"rollout": user.collector}, network), ClockWorld(), 40)
    user.update()
    rollout = {name: value.transpose(0, 1) for name, value in user.take(38).items()}
    for start, length in ((0, 39), (5, 8), (21, 16)):
        window = {name: value[:, start : start + length] for name, value in rollout.items()}
        with torch.no_grad():
            distribution, value = network(window)
        log_ratio = distribution.log_prob(window["action"]) - window["log_prob"]
        assert log_ratio.abs().max() < 1e-4
        torch.testing.assert_close(value, window["value"], atol=1e-4, rtol=1e-4)


def test_policy_agent_restores_its_recurrent_state() -> None:
    worlds, collectors = (ClockWorld(), ClockWorld()), (Collector(FIELDS), Collector(FIELDS))
    first, second = (agent_with({"rollout": collector}) for collector in collectors)
    run(first, worlds[0], 6)
    assert restore_state(second, collect_state(first)) == ([], [])
    worlds[1].now = worlds[0].now
    collectors[0].records.clear()
    for agent, world in ((first, worlds[0]), (second, worlds[1])):
        run(agent, world, 8)
    for ours, theirs in zip(collectors[0].records, collectors[1].records, strict=True):
        for name, value in ours.items():
            np.testing.assert_array_equal(value, theirs[name])


def test_policy_agent_acts_with_each_recurrent_core() -> None:
    for core in (RecurrentCore(QLstm, 8, depth=2), RecurrentCore(Gru, 8, depth=2)):
        network = RecurrentPolicyValue({"observation": CLOCK["observation"]}, CLOCK["action"], core)
        collector = Collector(FIELDS)
        run(agent_with({"rollout": collector}, network), ClockWorld(), 5)
        assert collector.records
        assert all(np.isfinite(value).all() for record in collector.records for value in record.values())
