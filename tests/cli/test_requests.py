"""Requests that cannot be met: the message has the request, the error and what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command

LONG = "n" * 300


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["experiment=実験"], ["experiment: 実験 has to be quoted", "type 'experiment=\"実験\"'"]),
        (
            ["experiment=doll", "environment.size=größe"],
            ["größe has to be quoted", "type 'environment.size=\"größe\"'"],
        ),
        (["experiment=cartpole_ppo", "tracking=null"], ["tracking: a group cannot be set to null", "~tracking"]),
        (["experiment=doll", f"experiment_name={LONG}"], ["experiment_name: expected a name", "100 letters"]),
        (["experiment=doll", f"hydra.run.dir={LONG}"], ["has 300 characters", "shorter name: hydra.run.dir=FOLDER"]),
        (["experiment=doll", f"hydra.run.dir={LONG}", "--resume"], ["has 300 characters", "hydra.run.dir=FOLDER"]),
        (["check", "experiment=doll", f"hydra.run.dir={LONG}/x"], ["has 300 characters", "hydra.run.dir=FOLDER"]),
        (["minimum"], ["'minimum' gives no value", "experiment=minimum"]),
        (["check", "experiment minimum"], ["'experiment minimum' gives no value", "write key=value"]),
        (["experiment=conf/experiment/minimum.yaml"], ["there is no experiment 'conf/experiment/minimum", "minimum"]),
        (["experiment=minimum", "launcher.max_steps=1e5"], ["expected a whole number", "write 100000"]),
        (["experiment=minimum", "seed='1'"], ["seed: expected a whole number, not '1'"]),
        (
            ["experiment=minimum", "hydra.searchpath=[file:///nowhere/at/all]"],
            ["hydra.searchpath: there is no folder /nowhere/at/all", "name a folder with config groups"],
        ),
        (["experiment=minimum", "environment.id=not_there_at_all:X-v0"], ["there is no package not_there_at_all here"]),
        ([f"experiment={LONG}"], ["experiment: there is no experiment 'nnn", "there are: "]),
        (
            ["-m", "experiment=doll,minimum", "environment.size=1"],
            ["environment.size: with experiment=minimum, there is no such key", "a sweep of their own"],
        ),
        (
            ["-m", "experiment=cartpole_ppo,minimum", "policy=ppo_cartpole"],
            ["policy: with experiment=minimum, this config has no place for 'policy'", "a sweep of their own"],
        ),
        (
            ["-m", "experiment=doll,minimum", "environment.siez=1"],
            ["with experiment=doll, there is no such key", "did you mean"],
        ),
    ],
    ids=lambda each: " ".join(each)[:60] if isinstance(each, list) else None,
)
def test_requests_that_cannot_be_met_get_a_message_with_a_fix(
    command: Command, doll: list[str], words: list[str], expected: list[str]
) -> None:
    is_check = words[0] == "check"
    outcome = command(*words[:is_check], *doll[:-1], *words[is_check:])
    assert outcome.status == 2 - is_check
    assert all(each in outcome.err for each in expected), outcome.err
    assert "LexerNoViable" not in outcome.err


def test_check_reports_a_config_file_with_tabs_or_another_encoding(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "conf" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    words = ("check", "experiment=mine", "--config-dir", str(tmp_path / "conf"))
    for content, message in ((b"seed:\n\tx: 1\n", "not tabs"), ("seed: 1\n".encode("utf-16"), "save it in UTF-8")):
        file.write_bytes(content)
        assert message in command(*words).err


def test_resume_and_reproduce_refuse_a_folder_without_a_run(command: Command, tmp_path: Path) -> None:
    hints = ("such as outputs/NAME/DATE", "name the folder of a run", "`export RUN -o FILE` wrote")
    for name, shown in ((".", str(tmp_path)), (LONG, LONG[:10]), ("nowhere", "nowhere"), ("/nowhere", "/nowhere")):
        for word in ("resume", "reproduce"):
            outcome = command(word, name)
            assert outcome.status == 2, (word, name)
            assert shown in outcome.err
            assert any(hint in outcome.err for hint in hints), outcome.err
            assert "Traceback" not in outcome.err
    assert "/nowhere is no run folder" in command("resume", "/nowhere").err
    assert "its own command line with --resume" in command("resume", ".").err


def test_reproduce_works_where_the_outputs_folder_is_a_link(command: Command, doll: list[str], tmp_path: Path) -> None:
    (tmp_path.parent / "scratch").mkdir(exist_ok=True)
    (tmp_path / "outputs").symlink_to(tmp_path.parent / "scratch")
    assert command(*doll, "hydra.run.dir=run").status == 0
    assert command("export", "run", "-o", "paper.yaml").status == 0
    outcome = command("reproduce", "paper.yaml", "--allow", "tests.config.parts")
    assert outcome.status == 0, outcome.err
    assert list((tmp_path / "outputs" / "doll").iterdir())
