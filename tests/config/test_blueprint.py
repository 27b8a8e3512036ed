"""What the processes of a run on a cluster build from a config."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pamiq_exp.config import AllowList, build_experiment, compose, validate
from pamiq_exp.config.blueprint import ConfigBlueprint
from pamiq_exp.runtime import config as launch_config
from pamiq_exp.runtime.cluster.blueprint import DescribedEnvironment, EnvironmentDescription

WORDS = ["experiment=cartpole_ppo", "launcher=realtime", "launcher.learner=ray", "launcher.actors=3", "num_envs=2"]


@pytest.fixture
def blueprint(monkeypatch: pytest.MonkeyPatch) -> ConfigBlueprint:
    monkeypatch.setattr(launch_config, "find_spec", lambda name: "found")
    validated = validate(compose([*WORDS, "seed=5", "tracking=jsonl_only"]), AllowList(), dry_run=False)
    assert validated.errors == []
    return ConfigBlueprint.of(validated)


def first_observation(blueprint: ConfigBlueprint, name: str) -> Any:
    environment = blueprint.build_actor(name).interaction.environment
    environment.setup()
    try:
        return environment.observe().values["vector"].copy()
    finally:
        environment.teardown()


def test_blueprint_gives_each_actor_its_own_reproducible_environments(
    blueprint: ConfigBlueprint,
) -> None:
    zero, one, again = (first_observation(blueprint, name) for name in ("actors.0", "actors.1", "actors.0"))
    assert np.array_equal(zero, again)
    assert not np.array_equal(zero, one)
    assert blueprint.actor_seed("actors.0") != blueprint.actor_seed("actors.0.1")


def test_blueprint_builds_the_learner_without_an_environment(
    blueprint: ConfigBlueprint,
) -> None:
    whole = build_experiment(validate(compose([*WORDS, "seed=5", "tracking=jsonl_only"]), AllowList(), dry_run=False))
    description = EnvironmentDescription.of(whole.interaction.environment)
    environment = DescribedEnvironment(description)
    parts, buffers = blueprint.build_learner(environment, 3)
    assert parts.interaction.environment is environment
    for name, value in whole.models["policy"].state_dict().items():
        assert torch.equal(value, parts.models["policy"].state_dict()[name])
    assert len({id(each["policy"]) for each in buffers}) == 3
    assert {each["policy"].num_envs for each in buffers} == {2}
    assert EnvironmentDescription.of(environment) == description
    with pytest.raises(RuntimeError, match="in another process"):
        environment.observe()
