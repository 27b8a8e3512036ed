"""`check` reports keys that are set and never read."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Command

PICKY = "+metrics.picky={_target_: tests.config.parts.Picky, options: {width: 3, heigth: 4, depth: 5}"


def test_check_reports_keys_that_are_set_but_never_read(command: Command, doll: list[str]) -> None:
    outcome = command("check", *doll, f"{PICKY}}}")
    assert outcome.status == 1
    lines = [line.strip() for line in outcome.err.splitlines()]
    depth = lines.index("metrics.picky.options.depth: nothing reads it")
    assert lines[depth + 1 : depth + 3] == ["it looks for: height", f"at command line: {PICKY}}}"]
    heigth = lines.index("metrics.picky.options.heigth: nothing reads it")
    assert "did you mean height?" in lines[heigth + 1]
    assert "options.width" not in outcome.err.replace(PICKY, "")


def test_check_accepts_unread_keys_of_options_that_a_part_keeps(command: Command, doll: list[str]) -> None:
    outcome = command("check", *doll, f"{PICKY}, keep: true}}")
    assert outcome.status == 0, outcome.err


def test_check_counts_an_interaction_delay_as_read(command: Command, doll: list[str]) -> None:
    outcome = command("check", *doll, "interaction.delay={steps: 1, observe_action: true}")
    assert outcome.status == 0, outcome.err


def test_check_refuses_to_set_spaces(command: Command, doll: list[str]) -> None:
    outcome = command("check", *doll, "spaces={num_envs: 7}")
    assert outcome.status == 1
    assert "spaces: is filled in from the environment" in outcome.err


def test_reproduce_accepts_unread_keys_of_resolved_nodes(command: Command, doll: list[str]) -> None:
    """A resolved config holds whole nodes from interpolations, such as all keys of `action`."""
    assert command(*doll, "launcher.max_steps=20").status == 0
    (run,) = (path.parent for path in Path("outputs").rglob("summary.json"))
    assert command("export", str(run), "-o", "paper.yaml").status == 0
    outcome = command("reproduce", "paper.yaml", "--allow", "tests.config.parts")
    assert outcome.status == 0, outcome.err
