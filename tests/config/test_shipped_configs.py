"""The configs in conf/: complete, true to the code, and each override that the docs promise works."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from pamiq_exp.config import AllowList, Composed, compose, config_folder, examine
from pamiq_exp.runtime import LaunchConfig
from tests.conftest import experiment_names, options_of
from tests.end_to_end.worlds import need_packages_of

CONF = Path(__file__).resolve().parents[2] / "conf"


def assert_sound(composed: Composed) -> None:
    assert [str(each) for each in examine(composed, AllowList(), dry_run=False).errors] == []


def test_config_folder_is_the_conf_folder_of_the_repository() -> None:
    assert config_folder() == CONF


def test_launch_config_defaults_equal_the_realtime_launcher_file() -> None:
    assert OmegaConf.to_container(OmegaConf.load(CONF / "launcher" / "realtime.yaml")) == asdict(LaunchConfig())


@pytest.mark.parametrize("name", experiment_names())
def test_shipped_config_experiment_has_the_name_of_its_file_and_no_errors(name: str) -> None:
    composed = compose([f"experiment={name}"])
    assert composed.config.experiment_name == name
    need_packages_of(name)
    assert_sound(composed)


def test_shipped_config_experiment_begins_with_a_description() -> None:
    for name in experiment_names():
        lines = (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
        assert lines[0] == "# @package _global_", name
        assert any(line.startswith("# ") for line in lines[1:4]), name


@pytest.mark.parametrize("group", ["launcher", "tracking", "metrics"])
def test_shipped_config_launcher_tracking_and_metrics_have_no_errors(group: str) -> None:
    for option in options_of(group):
        agent = ["agent=ppo"] if option == "plasticity" else []  # it measures a policy
        assert_sound(compose(["experiment=minimum", *agent, f"{group}={option}"]))


@pytest.mark.parametrize("option", options_of("overlay"))
def test_shipped_config_overlay_has_no_errors(option: str) -> None:
    assert_sound(compose(["experiment=minimum", f"overlay={option}"]))


def test_shipped_config_experiment_sets_only_common_keys() -> None:
    """Other choices have other keys and bring other groups, so an experiment sets only what every choice has."""
    common = {next(iter(each)) for each in OmegaConf.load(CONF / "config.yaml").defaults if not isinstance(each, str)}
    for name in experiment_names():
        experiment = OmegaConf.load(CONF / "experiment" / f"{name}.yaml")
        assert set(experiment) <= {"defaults", "experiment_name", "launcher", "num_envs"}, name
        chosen = [next(iter(each)) for each in experiment.defaults if not isinstance(each, str)]
        assert {each.removeprefix("override /") for each in chosen if each != "/arm"} <= common, name
