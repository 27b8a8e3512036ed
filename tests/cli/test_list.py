"""What there is to choose, each with a line on it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_exp.cli._catalogue import classes, config_folders, describe_config, first_sentence, groups
from pamiq_exp.cli.list import plural, select
from pamiq_exp.trust import PART_PACKAGES
from tests.conftest import Outcome

FOUND = groups(config_folders())
HEAVY = ("torch", "numpy", "hydra", "omegaconf", "yaml", "lightning", "wandb", "numba", "gymnasium")


@pytest.mark.parametrize("group", FOUND)
def test_every_choice_says_what_it_is(group: str) -> None:
    silent = [str(entry.path) for entry in FOUND[group] if len(entry.description) < 10]
    assert not silent, "begin these files with a comment line that says what they are"


@pytest.mark.parametrize("package", PART_PACKAGES)
def test_every_public_class_says_what_it_is(package: str) -> None:
    assert not [entry.name for entry in classes(package) if len(entry.description) < 10]


@pytest.mark.parametrize(
    "word", ["experiments", "worlds", "rewards", "models", "policies", "encoders", "launchers", "world", "reward"]
)
def test_groups_are_found_in_one_and_in_many(command, word: str) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("list", word)
    assert outcome.status == 0, outcome.err
    assert len(outcome.out.splitlines()) > 2


def test_an_option_is_told_with_its_first_sentence(command) -> None:  # type: ignore[no-untyped-def]
    lines = command("list", "worlds").out.splitlines()
    assert lines[0] == "world=..."
    (clean,) = [line for line in lines if line.startswith("  clean ")]
    assert clean.endswith("The same nine rooms without any noise: does an agent explore at all?")


def test_models_are_the_groups_that_bring_some_and_the_classes(command) -> None:  # type: ignore[no-untyped-def]
    chosen, parts = select("models", FOUND)
    assert {"encoder", "dynamics", "policy"} <= set(chosen)
    assert not {"experiment", "world", "launcher"} & set(chosen)
    assert "pamiq_exp.models.ActorCritic" in [entry.name for entry in parts]
    assert "pamiq_exp.models.ActorCritic" in command("list", "models").out


def test_without_a_word_it_lists_the_groups(command) -> None:  # type: ignore[no-untyped-def]
    text = command("list").out
    assert all(f"  {plural(group)} " in text for group in FOUND)


def test_a_name_that_is_none_is_told_with_the_nearest(command) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("list", "rewrads")
    assert outcome.status == 2
    assert "did you mean rewards" in outcome.err


def test_ones_own_configs_are_listed_too(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine" / "reward").mkdir(parents=True)
    (tmp_path / "mine" / "reward" / "gold.yaml").write_text(
        "# @package interaction.agent.reward\n# All that glitters.\n"
    )
    text = command("list", "rewards", "--config-dir", "mine").out
    assert "  gold " in text
    assert "All that glitters." in text
    assert "  rnd " in text or "  prediction_error " in text


def test_the_comment_is_read_to_its_first_full_stop() -> None:
    text = "# @package _global_\n#\n# One sentence over\n# two lines. Another one.\n\n# not this\na: 1\n"
    assert describe_config(text) == "One sentence over two lines."
    assert describe_config("a: 1 # not this\n") == ""
    assert first_sentence("With v1.2 in it. And more") == "With v1.2 in it."


def test_nothing_heavy_is_imported(tmp_path: Path) -> None:
    code = "import sys, pamiq_exp.cli as cli; cli.main(['list', 'models']); print(sorted(sys.modules), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    assert set(ast.literal_eval(result.stderr)).isdisjoint(HEAVY)
