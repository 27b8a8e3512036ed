"""`interaction.delay`: every environment that is built from a config is the delayed one."""

from __future__ import annotations

import pytest

from pamiq_exp.config import ConfigError, build_experiment, compose_config
from pamiq_exp.environments import DelayedActions

WORDS = (
    "experiment=curiosity_noise_world",
    "metrics=default",
    "environment.image_size=24",
    "environment.images.size=8",
)
FEW = ("trainers.dynamics.held_out.turns=16", "environment.noise.pool=2")


def test_the_agent_and_its_models_meet_the_delayed_environment() -> None:
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


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+interaction.delay.step=1", r"interaction\.delay\.step: .*\n.*did you mean steps"),
        ("interaction.delay.substeps=many", r"interaction\.delay\.substeps: expected"),
        ("interaction.delay=1", r"interaction\.delay: expected a mapping, not 1"),
    ],
)
def test_wrong_arguments_of_a_delay_are_reported_at_their_keys(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_experiment(compose_config([*WORDS, *FEW, word]))
