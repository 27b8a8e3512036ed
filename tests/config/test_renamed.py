"""Unknown keys, arguments and choices that were renamed get a message with the new name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pamiq_exp.config import ConfigError, compose, nearest
from pamiq_exp.config.checks.dataclasses import read_dataclass
from pamiq_exp.config.renamed import RENAMED
from pamiq_exp.config.targets import argument_errors
from pamiq_exp.runtime import LaunchConfig
from tests.conftest import REPOSITORY


def test_nearest_names_only_the_new_name_of_an_old_one() -> None:
    assert nearest("lanes", ["num_envs", "lanes_of_cars"]) == "'lanes' is now called num_envs"
    assert nearest("decay", ["horizon_decay", "reward"]) == "'decay' is now called horizon_decay"
    assert "now called" not in nearest("lanes", ["plans"])


def test_compose_names_the_new_key_of_an_unknown_one() -> None:
    with pytest.raises(ConfigError, match="'min_size' is now called learning_starts"):
        compose(["experiment=pamiq2024", "trainers.dynamics.min_size=3"])


def test_compose_names_the_new_choice_of_an_unknown_one() -> None:
    with pytest.raises(ConfigError, match="'delta_minimise' is now called delta_minimize"):
        compose(["experiment=pamiq2024", "reward=delta_minimise"])


def test_renamed_arguments_and_dataclass_keys_are_reported_with_the_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*, max_grad_norm: float = 1.0) -> float:
        return max_grad_norm

    [error] = argument_errors(train, "trainers.one", 0, ["gradient_clip"], partial=False)
    assert error.hint == "'gradient_clip' is now called max_grad_norm"
    monkeypatch.setitem(RENAMED, "how_long", ("max_steps",))
    with pytest.raises(ConfigError, match="'how_long' is now called max_steps"):
        read_dataclass(LaunchConfig, {"how_long": 3}, "launcher")


def test_renamed_table_has_only_new_names_that_are_in_use() -> None:
    files = [*REPOSITORY.glob("conf/**/*.yaml"), *REPOSITORY.glob("pamiq_exp/**/*.py")]
    table = Path(str(REPOSITORY / "pamiq_exp/config/renamed.py"))
    words = {word for file in files if file != table for word in re.findall(r"\w+", file.read_text() + f" {file.stem}")}
    assert sorted({new for names in RENAMED.values() for new in names} - words) == []
