"""Action masks of environments: their sources, policies that respect them, and invalid masks."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from pamiq_exp.component import set_up, tear_down
from pamiq_exp.config import build_experiment, compose_config
from pamiq_exp.environments import GymnasiumEnvironment, ShownActionMask
from pamiq_exp.environments.data.random_walk import record_random_transitions
from pamiq_exp.interaction import ForbiddenActionsError, Interaction
from pamiq_exp.runtime import Publisher
from tests.cases import unexpected_errors
from tests.interaction.worlds import Counter

TAXI = (
    "environment=gymnasium", "environment.id=Taxi-v4", "interaction=unpaced", "launcher=lockstep", "agent=ppo",
    "experiment_name=taxi", "num_envs=3",
    "environment.wrappers=[{_target_: pamiq_exp.environments.ShownActionMask, _partial_: true}]",
)  # fmt: skip


class Doors(gymnasium.Env[Any, Any]):
    """Six doors on two levels, of which only some are open; the arguments set where its mask is."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)

    def __init__(self, part: bool = False, info: bool = True, closed: bool = False, length: int = 3) -> None:
        self.action_space = gymnasium.spaces.MultiDiscrete([4, 2])
        self.part, self.info, self.closed, self.length = part, info, closed, length
        if part:
            self.observation_space = gymnasium.spaces.Dict({  # type: ignore[assignment]
                "seen": gymnasium.spaces.Box(0, 1, (2,), np.float32),
                "action_mask": gymnasium.spaces.Box(0, 1, (2, 3), np.uint8),
            })  # fmt: skip

    def action_masks(self) -> list[np.ndarray]:
        return np.split(self._mask(), [4])

    def _mask(self) -> np.ndarray:
        mask = np.array([1, 0, self.steps % 2, 1, 0, 1])
        return np.zeros(6, int) if self.steps == self.length else mask * (1 - self.closed)

    def _shown(self) -> tuple[Any, dict[str, Any]]:
        seen = np.zeros(2, np.float32)
        shown = {"seen": seen, "action_mask": self._mask().reshape(2, 3).astype(np.uint8)} if self.part else seen
        return shown, {"action_mask": self._mask()} if self.info else {"other": 1}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.steps = 0
        return self._shown()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        shown, info = self._shown()
        return shown, 0.0, self.steps == self.length, False, info


@pytest.mark.parametrize(
    ("settings", "wrappers"),
    [
        ({}, [ShownActionMask]),
        ({"info": False}, [lambda env: ShownActionMask(env, "action_masks")]),
        ({"part": True, "info": False}, []),
    ],
)
def test_action_masks_come_from_info_a_method_or_the_observation(settings: Any, wrappers: Any) -> None:
    environment = GymnasiumEnvironment(make=lambda: Doors(**settings), num_envs=2, wrappers=wrappers)
    interaction = Interaction(Counter(2), environment)
    set_up(interaction)
    shown = [environment.observe().values["action_mask"][0].tolist()]
    for _ in range(4):  # at the end of the episode no action is allowed, and none is chosen
        interaction.step()
        shown.append(environment.observe().values["action_mask"][0].tolist())
    assert shown == [[1, 0, 0, 1, 0, 1], [1, 0, 1, 1, 0, 1], [1, 0, 0, 1, 0, 1], [0] * 6, [1, 0, 0, 1, 0, 1]]
    tear_down(interaction)


def test_forbidden_actions_error_names_branch_and_copy() -> None:
    environment = GymnasiumEnvironment(make=lambda: Doors(closed=True), num_envs=2, wrappers=[ShownActionMask])
    interaction = Interaction(Counter(2), environment)
    set_up(interaction)
    with pytest.raises(ForbiddenActionsError, match=r"action_mask of .* forbids branch 0 of the action in copy 0"):
        interaction.step()
    tear_down(interaction)


def test_record_random_transitions_takes_only_allowed_actions() -> None:
    environment = GymnasiumEnvironment(make=lambda: Doors(length=9), num_envs=2, wrappers=[ShownActionMask])
    data = record_random_transitions(environment, turns=40, sequence_length=4, seed=0, stickiness=0.5)
    mask, action = data["observation.action_mask"].reshape(-1, 6), data["action"].reshape(-1, 2)
    rows = np.arange(len(mask))
    assert (mask[rows, action[:, 0]] * mask[rows, 4 + action[:, 1]])[mask.any(axis=1)].all()


def test_shown_action_mask_reports_a_missing_or_duplicate_mask() -> None:
    cases: list[tuple[dict[str, bool], str, str]] = [
        ({"info": False}, "info", "info has no action_mask; it has: other"),
        ({}, "masks", "no method masks"),
        ({}, "__class__", "no method __class__"),
        ({"part": True}, "info", "has the part action_mask already"),
    ]

    def reset(settings: dict[str, bool], source: str) -> None:
        ShownActionMask(Doors(**settings), source).reset()

    calls = [(partial(reset, settings, source), message) for settings, source, message in cases]
    assert not unexpected_errors(ValueError, calls)


def test_shown_action_mask_refuses_box_actions_and_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="marks choices, but these actions are Box"):
        ShownActionMask(gymnasium.make("Pendulum-v1"))
    doors = Doors()
    doors.action_space = gymnasium.spaces.Discrete(5)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="has 6 entries, expected 5"):
        ShownActionMask(doors).reset()


@pytest.mark.parametrize("policy", ["policy=ppo", "policy=ppo_recurrent", "policy=dqn", "policy=sac", "agent=random"])
def test_action_masks_are_respected_by_policies_from_configs(policy: str) -> None:
    exploration = ["++interaction.agent.exploration.random_steps=90"] if policy in ("policy=dqn", "policy=sac") else []
    experiment = build_experiment(compose_config([*TAXI, policy, *exploration]))
    interaction = experiment.interaction
    publisher = Publisher(experiment.models)
    interaction.agent.attach(publisher.inference_models(), {})
    set_up(interaction)
    assert policy == "agent=random" or "observation.action_mask" in experiment.buffers["policy"].fields
    forbidden = 0
    with torch.no_grad():
        for _ in range(60):
            seen = interaction.environment.observe()
            action = interaction.agent.step(seen)
            mask = seen.values["action_mask"]
            forbidden += int((mask == 0).sum())
            assert mask[np.arange(3), action[:, 0]].all()
            interaction.environment.affect(action)
    assert forbidden > 100, "most of the time something is forbidden"
    tear_down(interaction)


@pytest.mark.parametrize(
    "choice",
    [
        "policy=dreamer",
        "agent=imagination_cartpole encoder=random_features",
        "policy_input=latent encoder=random_features buffers=replay",
    ],
)
def test_action_masks_are_an_error_for_policies_that_ignore_them(choice: str) -> None:
    experiment = build_experiment(compose_config([*TAXI, *choice.split()]))
    interaction = experiment.interaction
    interaction.agent.attach(Publisher(experiment.models).inference_models(), {})
    set_up(interaction)
    with pytest.raises(ValueError, match="reads no 'action_mask', and this environment shows one: choose policy=ppo"):
        interaction.step()
    tear_down(interaction)
