"""`interaction.delay`: every environment that is built from a config is the delayed one."""

from __future__ import annotations

import pytest

from pamiq_exp.config import ConfigError, build_experiment, compose_config
from pamiq_exp.environments import ActionRepeat, DelayedActions, FrameStack
from pamiq_exp.environments.wrappers.wrapper import EnvironmentWrapper

WORDS = (
    "experiment=pamiq2024",
    "metrics=default",
    "environment.image_size=24",
    "environment.images.size=8",
)
FEW = ("trainers.dynamics.held_out.turns=16", "environment.noise.pool=2")


def test_delay_wraps_the_environment_that_agent_and_models_use() -> None:
    delay = ("interaction.delay.steps=2", "interaction.delay.observe_action=true")
    experiment = build_experiment(compose_config([*WORDS, *FEW, *delay]))
    environment = experiment.interaction.environment
    assert isinstance(environment, DelayedActions)
    assert experiment.config["spaces"]["observation"]["previous_action"]["shape"] == [2 * 13]
    assert "observation.previous_action" in experiment.buffers["replay"].fields
    assert "observation.previous_action" in experiment.trainers["dynamics"]._held_out
    assert experiment.config["environment"]["_target_"] == "pamiq_exp.environments.NoiseWorld", "as the user wrote it"
    assert experiment.config["interaction"]["delay"]["steps"] == 2

    plain = build_experiment(compose_config([*WORDS, *FEW]))
    assert not isinstance(plain.interaction.environment, DelayedActions)
    assert list(plain.config["spaces"]["observation"]) == ["image"]
    assert plain.config["environment"]["seed"] == experiment.config["environment"]["seed"], "the same world"


def test_frame_stack_action_repeat_and_delay_wrap_the_environment() -> None:
    words = ("interaction.frame_stack=3", "interaction.action_repeat=2", "interaction.delay.steps=1")
    experiment = build_experiment(compose_config([*WORDS, *FEW, *words]))
    environment = experiment.interaction.environment
    kinds = []
    while isinstance(environment, EnvironmentWrapper):
        kinds.append(type(environment))
        environment = environment.environment
    assert kinds == [DelayedActions, FrameStack, ActionRepeat]
    assert experiment.config["spaces"]["observation"]["image"]["shape"] == [24, 24, 9]
    assert experiment.trainers["dynamics"]._held_out["observation.image"].shape[-3:] == (24, 24, 9)
    assert experiment.config["environment"]["_target_"] == "pamiq_exp.environments.NoiseWorld", "as the user wrote it"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("interaction.frame_stack=many", r"interaction\.frame_stack: expected"),
        ("interaction.frame_stack=0", r"frame_stack must be at least 1, not 0"),
        ("interaction.action_repeat=[2]", r"interaction\.action_repeat: expected"),
        ("interaction.action_repeat=-1", r"action_repeat must be at least 1, not -1"),
        ("+interaction.delay.step=1", r"interaction\.delay\.step: .*\n.*did you mean steps"),
        ("interaction.delay.substeps=many", r"interaction\.delay\.substeps: expected"),
        ("interaction.delay=1", r"interaction\.delay: expected a mapping, not 1"),
    ],
)
def test_wrapper_errors_are_reported_at_their_keys(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_experiment(compose_config([*WORDS, *FEW, word]))
