"""From a composed config to the parts of a run."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config import AllowList, ConfigError, build_experiment, derived_seeds
from tests.cases import error_of
from tests.config import parts

HERE = "tests.config.parts"
ALLOW = AllowList((HERE,))


def tree(**changes: Any) -> DictConfig:
    """A small whole config, laid over with `changes`."""
    base = {
        "experiment_name": "small",
        "seed": 7,
        "spaces": "???",
        "environment": {"_target_": f"{HERE}.Room", "size": 5, "num_envs": 2},
        "interaction": {
            "_target_": "pamiq_exp.interaction.Interaction",
            "agent": {
                "_target_": f"{HERE}.Doll",
                "action": "${spaces.action}",
                "num_envs": "${spaces.num_envs}",
                "seed": "${derived_seed:}",
            },
            "environment": "${environment}",
        },
        "models": {"net": {"_target_": f"{HERE}.Net", "width": "${product:${spaces.observation.state.shape}}"}},
        "buffers": {},
        "trainers": {},
        "metrics": {"counter": {"_target_": f"{HERE}.Counter"}},
        "tracking": {},
        "launcher": {"mode": "lockstep", "max_steps": 10},
        "paths": {"outputs": "outputs"},
    }
    merged = OmegaConf.merge(base, changes)
    assert isinstance(merged, DictConfig)
    return merged


def errors(config: DictConfig) -> str:
    with pytest.raises(ConfigError) as error:
        build_experiment(config, ALLOW)
    return str(error.value)


def test_build_experiment_takes_shapes_from_the_environment() -> None:
    experiment = build_experiment(tree(), ALLOW)
    assert experiment.models["net"].layer.in_features == 5
    assert experiment.interaction.num_envs == 2
    assert isinstance(experiment.interaction.environment, parts.Room)
    assert experiment.config["spaces"]["observation"]["state"]["shape"] == [5]
    assert experiment.launch_config.max_steps == 10


def test_build_experiment_adds_metrics_as_observers() -> None:
    experiment = build_experiment(tree(), ALLOW)
    assert isinstance(experiment.interaction.observers["counter"], parts.Counter)


def test_build_experiment_keeps_a_resolved_config_that_builds_the_same_again() -> None:
    first = build_experiment(tree(), ALLOW)
    assert str(first.config).count("${") == str(first.config).count("${environment}") == 1
    again = build_experiment(OmegaConf.create(first.config), ALLOW)
    assert again.config == first.config
    assert again.interaction.agent.seed == first.interaction.agent.seed
    assert torch.equal(again.models["net"].layer.weight, first.models["net"].layer.weight)


def test_build_experiment_initializes_a_model_independently_of_others() -> None:
    alone = build_experiment(tree(), ALLOW).models["net"]
    torch.manual_seed(99)
    more = {"another": {"_target_": f"{HERE}.Net", "width": 5}, "net": {"_target_": f"{HERE}.Net", "width": 5}}
    config = tree(models=None)
    config.models = more
    both = build_experiment(config, ALLOW).models
    assert torch.equal(alone.layer.weight, both["net"].layer.weight)
    assert not torch.equal(both["another"].layer.weight, both["net"].layer.weight)


def test_build_experiment_leaves_the_global_generator_unchanged() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build_experiment(tree(), ALLOW)
    assert torch.equal(torch.rand(3), expected)


def test_build_experiment_with_another_seed_gives_other_seeds_and_models() -> None:
    first, second = build_experiment(tree(), ALLOW), build_experiment(tree(seed=8), ALLOW)
    assert first.interaction.agent.seed != second.interaction.agent.seed
    assert not torch.equal(first.models["net"].layer.weight, second.models["net"].layer.weight)


def test_build_experiment_skips_parts_set_to_null() -> None:
    experiment = build_experiment(tree(models={"net": None}, metrics={"counter": None}), ALLOW)
    assert experiment.models == {}
    assert experiment.interaction.observers == {}


def test_build_experiment_leaves_the_composed_config_unchanged() -> None:
    config = tree()
    build_experiment(config, ALLOW)
    assert OmegaConf.is_missing(config, "spaces")


def test_build_experiment_makes_a_video_recorder_an_observer() -> None:
    film = {"_target_": "pamiq_exp.recording.VideoRecorder"}
    experiment = build_experiment(tree(tracking={"film": film}), ALLOW)
    assert set(experiment.interaction.observers) == {"counter", "film"}
    assert experiment.trackers == {}
    assert "tracking.counter: is the name of a metric, too" in errors(tree(tracking={"counter": film}))


def test_derived_seeds_are_listed_by_address() -> None:
    experiment = build_experiment(tree(), ALLOW)
    assert derived_seeds(experiment.config)["interaction.agent"] == experiment.interaction.agent.seed


def test_build_experiment_reports_errors_with_their_key() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"modles": {}}, "modles: there is no such key at the top of a config\n    did you mean models?"),
        ({"seed": "x"}, "seed: expected a whole number, not 'x'"),
        ({"models": {"encoder": {"width": 3}}}, "models.encoder: has no _target_"),
        ({"models": {"new": {"_target_": f"{HERE}.Net", "width": "???"}}}, "models.new.width: needs a value"),
        ({"models": {"net": {"width": "${spaces.observation.image.shape}"}}}, "models.net.width: "),
        ({"models": {"net": {"width": "${nosuch:1}"}}}, "models.net.width: "),
        ({"models": {"net": {"wdith": 3}}}, "models.net.wdith: Net takes no argument 'wdith'"),
        ({"interaction": {"environment": {"_target_": f"{HERE}.Room"}}}, "interaction.environment: must be ${environ"),
        ({"interaction": {"observers": {}}}, "interaction.observers: is filled from `metrics`"),
        (
            {"environment": {"_target_": f"{HERE}.Part", "size": 1, "num_envs": None}},
            "environment.num_envs: Part takes no",
        ),
        ({"launcher": {"mode": "fast"}}, "launcher.mode: expected one of realtime, lockstep"),
        ({"launcher": {"max_steps": -1}}, "launcher.max_steps: must be positive"),
        ({"launcher": {"device": "abacus"}}, "launcher.device: must be one of cpu"),
        ({"launcher": {"precision": "3-bit"}}, "launcher.precision: must be one of"),
        ({"launcher": {"checkpoint": {"kep": 1}}}, "launcher.checkpoint.kep: there is no such key"),
        ({"launcher": {"max_steps": "${nothing}"}}, "launcher.max_steps: "),
    ]
    reported = [
        (expected, error_of(ConfigError, partial(build_experiment, tree(**changes), ALLOW)))
        for changes, expected in cases
    ]
    assert [each for each in reported if each[0] not in each[1]] == []


def test_build_experiment_refuses_a_class_that_is_not_an_environment() -> None:
    config = tree()
    config.environment = {"_target_": f"{HERE}.Part", "size": 1}
    assert "environment._target_: Part is no environment" in errors(config)
