"""The options and classes that `list` prints, each with a description."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from pamiq_exp.cli._catalogue import classes, config_folders, describe_config, first_sentence, groups
from pamiq_exp.cli.list import plural, select
from pamiq_exp.trust import PART_PACKAGES
from tests.conftest import Outcome

FOUND = groups(config_folders())
HEAVY = ("torch", "numpy", "hydra", "omegaconf", "yaml", "lightning", "wandb", "numba", "gymnasium")


def test_list_describes_every_option() -> None:
    entries = [entry for options in FOUND.values() for entry in options]
    without = [str(entry.path) for entry in entries if len(entry.description) < 10]
    assert not without, "begin these files with a comment line that describes them"


def test_list_describes_every_public_class() -> None:
    entries = [entry for package in PART_PACKAGES for entry in classes(package)]
    assert [entry.name for entry in entries if len(entry.description) < 10] == []


def test_list_accepts_group_names_in_singular_and_plural(command) -> None:  # type: ignore[no-untyped-def]
    plurals = ("experiments", "worlds", "rewards", "models", "policies", "encoders", "launchers")
    for word in (*plurals, "world", "reward"):
        outcome: Outcome = command("list", word)
        assert outcome.status == 0, outcome.err
        assert len(outcome.out.splitlines()) > 2, word


def test_list_describes_an_option_with_its_first_sentence(command) -> None:  # type: ignore[no-untyped-def]
    lines = command("list", "worlds").out.splitlines()
    assert lines[0] == "world=..."
    (clean,) = [line for line in lines if line.startswith("  clean ")]
    assert clean.endswith("The same nine rooms without any noise: does an agent explore at all?")


def test_list_models_shows_groups_with_models_and_model_classes(command) -> None:  # type: ignore[no-untyped-def]
    chosen, parts = select("models", FOUND)
    assert {"encoder", "dynamics", "policy"} <= set(chosen)
    assert not {"experiment", "world", "launcher"} & set(chosen)
    assert "pamiq_exp.models.ActorCritic" in [entry.name for entry in parts]
    assert "pamiq_exp.models.ActorCritic" in command("list", "models").out


def test_list_without_arguments_shows_all_groups(command) -> None:  # type: ignore[no-untyped-def]
    text = command("list").out
    assert all(f"  {plural(group)} " in text for group in FOUND)


def test_list_suggests_the_nearest_name_for_an_unknown_one(command) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("list", "rewrads")
    assert outcome.status == 2
    assert "did you mean rewards" in outcome.err


def test_list_includes_options_of_the_users_config_folder(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine" / "reward").mkdir(parents=True)
    (tmp_path / "mine" / "reward" / "gold.yaml").write_text(
        "# @package interaction.agent.reward\n# All that glitters.\n"
    )
    text = command("list", "rewards", "--config-dir", "mine").out
    assert "  gold " in text
    assert "All that glitters." in text
    assert "  rnd " in text or "  prediction_error " in text


def test_describe_config_returns_the_first_sentence_of_the_comment() -> None:
    text = "# @package _global_\n#\n# One sentence over\n# two lines. Another one.\n\n# not this\na: 1\n"
    assert describe_config(text) == "One sentence over two lines."
    assert describe_config("a: 1 # not this\n") == ""
    assert first_sentence("With v1.2 in it. And more") == "With v1.2 in it."


def test_list_imports_no_heavy_package(tmp_path: Path) -> None:
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
