"""Policy inputs, recorded fields and cuts of returns of a reward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pamiq_exp.agents import RandomAgent
from pamiq_exp.agents.learning_agent import AgentInput
from pamiq_exp.interaction import Array, Interaction
from pamiq_exp.rewards import Reward, Transition
from tests.agents.worlds import OUTCOME_FIELDS, ClockWorld, Collector, spaces

CLOCK = spaces(ClockWorld())


class ChangingGoal(Reward):
    """Has another goal every third turn, and fields to record from the third turn on."""

    name = "changing_goal"
    recorded_fields = ("known",)

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        self.truth: Mapping[str, Array] | None = None

    def attach_oracle(self, ground_truth: Any) -> None:
        self.truth = ground_truth()

    def compute(self, transition: Transition) -> np.ndarray:
        assert (
            transition.previous_observation["observation.step"] + 1 == transition.observation["observation.step"]
        ).all()
        self.turn += 1
        return np.zeros(3, dtype=np.float32)

    def policy_inputs(self, num_envs: int, device: torch.device) -> dict[str, Tensor]:
        return {"goal": torch.full((num_envs, 1), float(self.turn // 3))}

    def fields(self) -> dict[str, np.ndarray]:
        return {"known": np.full(3, self.turn - 1, dtype=np.int64)} if self.turn > 2 else {}

    def cuts(self) -> np.ndarray:
        return np.full(3, self.turn % 3 == 0)


class GoalAgent(RandomAgent):
    """Shows the goal that it received as a signal."""

    def act(self, agent_input: AgentInput) -> tuple[Tensor, dict[str, Array]]:
        self.signals["goal"] = agent_input.fields["goal"].numpy()
        return super().act(agent_input)


def run(turns: int) -> tuple[ChangingGoal, Collector, Collector, list[float]]:
    reward = ChangingGoal()
    agent = GoalAgent(CLOCK["action"], 3, seed=0, reward=reward)
    every = Collector(
        {"observation": CLOCK["observation"], "goal": {"shape": [1], "dtype": "float32"}, **OUTCOME_FIELDS}
    )
    later = Collector({"observation": CLOCK["observation"], "known": {"shape": [], "dtype": "int64"}})
    agent.attach({}, {"every": every, "later": later})
    interaction = Interaction(agent, ClockWorld(ends=(1000, 1000, 1000)))
    interaction.setup()
    goals = []
    for _ in range(turns):
        interaction.step()
        goals.append(float(agent.signals["goal"][0, 0]))
    return reward, every, later, goals


def test_reward_policy_inputs_reach_the_policy_and_its_transitions() -> None:
    _, every, _, goals = run(8)
    assert goals == [0, 0, 0, 1, 1, 1, 2, 2]
    assert [record["goal"][0, 0] for record in every.records] == goals[:-1]


def test_reward_cuts_mark_transitions_as_terminated_but_not_ended() -> None:
    _, every, _, _ = run(8)
    assert [bool(record["terminated"].all()) for record in every.records] == [False, False, True] * 2 + [False]
    assert not any(record["ended"].any() for record in every.records)


def test_reward_fields_are_stored_with_their_transition() -> None:
    _, _, later, _ = run(8)
    assert [record["known"][0] for record in later.records] == [2, 3, 4, 5, 6]
    assert [record["observation.step"][0, 0] for record in later.records] == [2, 3, 4, 5, 6]


def test_interaction_gives_the_ground_truth_to_the_reward() -> None:
    reward, _, _, _ = run(1)
    assert reward.truth == {}
