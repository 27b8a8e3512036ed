"""Invalid command lines: one message with the fix, exit status 1 or 2, no traceback and no run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command

REQUESTS = {
    "": "experiment=NAME, one of: ",
    "experiment=minimun": "did you mean minimum?",
    "experiment=minimum launcher.max_step=3": "launcher.max_step: there is no such key\n      did you mean max_steps",
    "experiment=minimum sede=3": "did you mean seed",
    "experiment=minimum launcher=lockstp": "did you mean lockstep?",
    "experiment=minimum launcher.mode=fast": "expected one of realtime, lockstep, pipelined, sequential, not 'fast'",
    "experiment=minimum launcher.max_steps=many": "launcher.max_steps: expected a whole number or null, not 'many'",
    "experiment=minimum launcher.max_steps=-3": "launcher.max_steps: must be positive",
    "experiment=minimum launcher.device=tpu": "launcher.device: must be one of cpu",
    "experiment=minimum launcher.device=cuda:99": "launcher.device: is cuda:99",
    "experiment=minimum launcher.precision=3": "launcher.precision",
    "experiment=minimum seed=x": "seed: expected a whole number, not 'x'",
    "experiment=minimum seed=[1": "cannot be read",
    "experiment=minimum seed=1,2": "--multirun",
    "experiment=minimum +extra.key=1": "extra: there is no such key at the top of a config",
    "experiment=minimum +interaction.agent.speed=1": "RandomAgent takes no argument 'speed'",
    "experiment=minimum interaction.agent.num_env=1": "did you mean num_envs?",
    "experiment=minimum environment._target_=os.system": "a config may not name os.system",
    "experiment=minimum environment._target_=my_package.World": "--allow my_package",
    "experiment=minimum environment._target_=pamiq_exp.environments.Gymnasium": "did you mean GymnasiumEnvironment?",
    "experiment=minimum models.encoder.width=3": "models.encoder.width: there is no such key",
    "experiment=minimum +models.encoder.width=3": "models.encoder: has no _target_",
    "experiment=minimum paths.outputs=/dev/null/here": "paths.outputs: /dev/null/here/minimum cannot be written",
    "experiment=minimum --config-dir /nowhere": "/nowhere does not exist",
    "experiment=minimum --config-path nowhere": "--config-path: nowhere is no absolute path",
    "experiment=minimum --config-name nowhere": "there is no config 'nowhere'",
    "experiment=minimum --allow": "--allow needs the name of a package",
    "experiment=minimum --allow *": "cannot allow '*'",
    "experiment=minimum --experimental-rerun x.pickle": "would read a pickle",
    "experiment=minimum --nonsense": "unrecognized arguments: --nonsense",
    "-m experiment=minimum launcher.mode=lockstep,fast": "launcher.mode: expected one of",
    "-m experiment=minimum,nothing": "there is no experiment 'nothing'",
    "-m experiment=minimum paths.outputs=/dev/null/here": "cannot be written",
    "runn experiment=minimum": "did you mean run?",
}


def test_bad_input_gives_a_message_without_traceback_or_run_folder(command: Command, tmp_path: Path) -> None:
    wrong = {}
    for words, message in REQUESTS.items():
        outcome = command(*words.split())
        if outcome.status not in (1, 2) or message not in outcome.err or "Traceback" in outcome.err:
            wrong[words] = outcome
        assert list(tmp_path.rglob("*.yaml")) == [], words
    assert not wrong, wrong


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["agent=random", "encoder=image_vae"], "this config has no place for 'encoder'"),
        (["environment=gymnasium", "world=clean"], "this config has no place for 'world'"),
        (["world=fod"], "did you mean food?"),
        (["policy=ppo_recurent"], "did you mean ppo_recurrent"),
    ],
)
def test_run_refuses_misplaced_or_misspelled_group_choices(command: Command, words: list[str], expected: str) -> None:
    outcome = command("experiment=pamiq2024", *words)
    assert outcome.status == 2
    assert expected in outcome.err


def test_run_reports_an_image_folder_without_readable_images(command: Command, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    words = ["environment.images.source=folder", "environment.images.path=pictures", "tracking=jsonl_only"]
    outcome = command("experiment=pamiq2024", *words)
    assert outcome.status == 2
    assert "no readable picture in" in outcome.err
    assert "Traceback" not in outcome.err


def test_run_reports_an_unknown_model_name_with_the_available_ones(command: Command) -> None:
    words = ["trainers.dynamics.model=dynamic", "tracking=jsonl_only", "launcher.max_steps=10"]
    outcome = command("experiment=pamiq2024", *words)
    assert outcome.status == 2
    assert "there is no model 'dynamic'" in outcome.err
    assert "did you mean dynamics?; there are: " in outcome.err
    assert "Traceback" not in outcome.err


def test_run_reports_an_unknown_gymnasium_id_with_its_key(command: Command) -> None:
    outcome = command("experiment=minimum", "environment.id=CartPol-v1", "tracking=jsonl_only")
    assert outcome.status == 2
    assert "  environment.id: " in outcome.err
    assert "CartPole" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "words", [["--cfg", "job", "sede=1"], ["--info", "defaults", "experiment=no"], ["--help", "a=1"]]
)
def test_cli_reports_an_invalid_config_to_print_without_traceback(command: Command, words: list[str]) -> None:
    outcome = command(*words)
    assert outcome.status == 2
    assert "there is no" in outcome.err
    assert "Traceback" not in outcome.err


def test_run_removes_terminal_escapes_from_error_messages(command: Command) -> None:
    outcome = command("experiment=minimum", "seed='\x1b[2Jgone'")
    assert outcome.status == 2
    assert "\x1b" not in outcome.err
    assert "gone" in outcome.err
