"""The configs in conf/: complete, true to the code, and each override that the docs promise works."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pamiq_exp.config import AllowList, compose, compose_config, config_folder, examine
from pamiq_exp.runtime import LaunchConfig
from tests.conftest import experiment_names, options_of
from tests.end_to_end.worlds import need_packages_of

CONF = Path(__file__).resolve().parents[2] / "conf"


def assert_sound(*overrides: str) -> None:
    assert [str(each) for each in examine(compose(overrides), AllowList(), dry_run=False).errors] == []


def test_the_folder_is_found() -> None:
    assert config_folder() == CONF


def test_the_launcher_file_holds_every_setting_with_its_default() -> None:
    assert OmegaConf.to_container(OmegaConf.load(CONF / "launcher" / "realtime.yaml")) == asdict(LaunchConfig())


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_is_named_as_its_file(name: str) -> None:
    assert compose_config([f"experiment={name}"]).experiment_name == name


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_is_sound(name: str) -> None:
    need_packages_of(name)
    assert_sound(f"experiment={name}")


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_says_in_its_first_lines_what_it_is(name: str) -> None:
    lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert any(line.startswith("# ") for line in lines[1:4])


@pytest.mark.parametrize("group", ["launcher", "tracking", "metrics"])
def test_each_choice_is_sound(group: str) -> None:
    for option in options_of(group):
        agent = ["agent=ppo"] if option == "plasticity" else []  # it measures a policy
        assert_sound("experiment=minimum", *agent, f"{group}={option}")


@pytest.mark.parametrize("option", options_of("overlay"))
def test_each_overlay_is_sound(option: str) -> None:
    assert_sound("experiment=minimum", f"overlay={option}")


@pytest.mark.parametrize("name", experiment_names())
def test_an_experiment_chooses_and_sets_nothing_below_what_it_chooses(name: str) -> None:
    """Another choice has other keys, and brings other groups: only what every choice has is for experiments."""
    everywhere = {
        next(iter(each)) for each in OmegaConf.load(CONF / "config.yaml").defaults if not isinstance(each, str)
    }
    experiment = OmegaConf.load(CONF / "experiment" / f"{name}.yaml")
    assert set(experiment) <= {"defaults", "experiment_name", "launcher", "num_envs"}
    chosen = [next(iter(each)) for each in experiment.defaults if not isinstance(each, str)]
    assert {each.removeprefix("override /") for each in chosen if each != "/arm"} <= everywhere
