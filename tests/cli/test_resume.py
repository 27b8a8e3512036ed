"""`resume RUN`: the checkpoint that a run continues from, and what may change."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

import pamiq_exp.cli
from pamiq_exp.run_folder import list_checkpoints
from tests.cli.conftest import own_experiment
from tests.conftest import Outcome

ALLOW = ("--allow", "tests.config.parts")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with checkpoints at steps 10 and 20, made once."""
    place = tmp_path_factory.mktemp("finished")
    words = [*own_experiment(place), "launcher.checkpoint.every_steps=10", f"hydra.run.dir={place / 'run'}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", list(sys.path))  # --allow adds to it
        assert pamiq_exp.cli.main(words) == 0
    return place / "run"


@pytest.fixture
def folder(command, doll: list[str], finished: Path, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    """A copy of that run, beside the experiment."""
    return Path(shutil.copytree(finished, tmp_path / "outputs" / "doll" / "run"))


def damage(checkpoint: Path) -> None:
    state = checkpoint / "state.json"
    state.write_bytes(state.read_bytes()[:-3] + b"???")


def test_resume_refuses_a_damaged_checkpoint_but_accepts_an_earlier_one_on_request(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    damage(list_checkpoints(folder / "checkpoints")[-1])
    refused: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30")
    assert refused.status == 2
    assert "state.json is not what was written" in refused.err
    assert "resume.checkpoint=step_000000010" in refused.err
    assert json.loads((folder / "summary.json").read_text())["steps"] == 20
    accepted: Outcome = command(
        "resume", str(folder), *ALLOW, "launcher.max_steps=30", "resume.checkpoint=step_000000010"
    )
    assert accepted.status == 0, accepted.err
    assert "from step_000000010" in accepted.err
    assert json.loads((folder / "summary.json").read_text())["steps"] == 30


def test_resume_suggests_the_nearest_checkpoint_for_one_that_does_not_exist(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", str(folder), *ALLOW, "resume.checkpoint=step_000000011")
    assert outcome.status == 2
    assert "step_000000010" in outcome.err


def test_resume_refuses_an_unknown_value_of_partial(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", str(folder), *ALLOW, "resume.partial=maybe")
    assert outcome.status == 2
    assert "resume.partial=true" in outcome.err


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a run but for its log, which may grow."""
    names = ("config.yaml", "overrides.yaml", "composition.yaml", "manifest.json", "summary.json", "metrics.jsonl")
    return {name: (folder / name).read_bytes() for name in names}


def test_resume_accepts_new_parts_only_with_partial(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    new = "+metrics.episodes._target_=pamiq_exp.metrics.Episodes"
    before = files_of(folder)
    refused: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30", new)
    assert refused.status == 2
    assert "interaction part observers.episodes is not in the checkpoint" in refused.err
    assert "Traceback" not in refused.err
    assert files_of(folder) == before
    accepted: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30", "resume.partial=true", new)
    assert accepted.status == 0, accepted.err
    assert json.loads((folder / "summary.json").read_text())["steps"] == 30


def test_resume_accepts_new_group_choices_and_reports_changed_values(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", str(folder), *ALLOW, "launcher=pipelined", "launcher.max_steps=30")
    assert outcome.status == 0, outcome.err
    assert "launcher.mode: lockstep -> pipelined" in outcome.err
    assert "launcher.max_steps: 20 -> 30" in outcome.err
    assert yaml.safe_load((folder / "config.yaml").read_text())["launcher"]["mode"] == "pipelined"
    words = yaml.safe_load((folder / "overrides.yaml").read_text())
    assert words[-2:] == ["launcher=pipelined", "launcher.max_steps=30"]
    again: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=40")
    assert again.status == 0, again.err
    assert yaml.safe_load((folder / "config.yaml").read_text())["launcher"]["mode"] == "pipelined"


def test_resume_needs_only_the_run_folder(command, folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.rmtree(tmp_path / "conf")
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    outcome: Outcome = command("resume", str(elsewhere), *ALLOW, "launcher.max_steps=30")
    assert outcome.status == 0, outcome.err
    assert json.loads((elsewhere / "summary.json").read_text())["steps"] == 30


def test_resume_reports_and_ignores_config_files_edited_since(  # type: ignore[no-untyped-def]
    command, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "conf" / "experiment" / "doll.yaml"
    path.write_text(path.read_text().replace("num_envs: 2", "num_envs: 4"))
    words = ("--config-dir", str(tmp_path / "conf"), *ALLOW, "launcher.max_steps=30")
    outcome: Outcome = command("resume", str(folder), *words)
    assert outcome.status == 0, outcome.err
    assert "edited since, and left as they were when the run began: experiment/doll.yaml" in outcome.err
    assert yaml.safe_load((folder / "config.yaml").read_text())["environment"]["num_envs"] == 2


REFUSED = {
    "environment.size=5": "the environment no longer shows and accepts what it did",
    "environment.num_envs=3": "spaces.num_envs: 2 -> 3",
    "seed=7": "was 0 when the run began",
    "environment.sice=5": "there is no such key",
    "environment._target_=os.system": "a config may not name os.system",
    "world=clean": "this config has no place for",
    "hydra.run.dir=elsewhere": "cannot be set for a run that has begun",
}


def test_resume_leaves_a_run_unchanged_when_it_refuses(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    before = files_of(folder)
    for change, message in REFUSED.items():
        outcome: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30", change)
        assert outcome.status == 2
        assert message in outcome.err
        assert "this run cannot be resumed" in outcome.err
        assert files_of(folder) == before


def test_resume_without_kept_config_files_accepts_values_but_no_groups(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    (folder / "composition.yaml").unlink()
    outcome: Outcome = command("resume", str(folder), *ALLOW, "launcher.max_steps=30")
    assert outcome.status == 0, outcome.err
    refused: Outcome = command("resume", str(folder), *ALLOW, "launcher=realtime")
    assert refused.status == 2
    assert "groups were chosen when the run began" in refused.err


def test_resume_refuses_a_masked_secret_as_a_value(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    path = folder / "composition.yaml"
    kept = yaml.safe_load(path.read_text())
    kept["files"]["experiment/doll"] += "shared: {api_key: '***'}\n"
    path.write_text(yaml.safe_dump(kept))
    outcome: Outcome = command("resume", str(folder), *ALLOW)
    assert outcome.status == 2
    assert "shared.api_key" in outcome.err
    assert "give it again" in outcome.err


def test_resume_records_start_and_end_states_words_and_sessions_in_the_manifest(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    first = json.loads((folder / "manifest.json").read_text())
    assert first["start_state"] == {"steps": 0}
    assert first["end_state"]["checkpoint"] == "step_000000020"
    assert first["end_state"]["steps"] == 20
    assert command("resume", str(folder), *ALLOW, "launcher.max_steps=30").status == 0
    second = json.loads((folder / "manifest.json").read_text())
    assert second["start_state"]["checkpoint"] == "step_000000020"
    assert second["start_state"]["sha256"] == first["end_state"]["sha256"]
    assert second["end_state"]["steps"] == 30
    assert second["overrides"] == [*first["overrides"], "launcher.max_steps=30"]
    assert len(second["sessions"]) == 1


def test_resume_refuses_classes_that_are_not_allowed(command, folder: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", str(folder))
    assert outcome.status == 2
    assert "may not name tests.config.parts.Room" in outcome.err


def test_resume_reports_a_missing_checkpoint(command, doll: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert command(*doll, "launcher.checkpoint.at_end=false", "hydra.run.dir=run").status == 0
    outcome: Outcome = command("resume", "run", *ALLOW)
    assert outcome.status == 2
    assert "there is no checkpoint in" in outcome.err


def test_resume_prints_its_usage_without_a_folder_or_with_one_that_does_not_exist(command) -> None:  # type: ignore[no-untyped-def]
    for words in ([], ["nowhere"]):
        outcome: Outcome = command("resume", *words)
        assert outcome.status == 2
        assert "resume RUN" in outcome.err


def test_resume_help_describes_the_command_and_lists_its_keys(command) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("resume", "--help")
    assert outcome.status == 0
    assert "composed again from what the run has kept" in outcome.out
    assert "resume.checkpoint=" in outcome.out


def test_resume_and_evaluate_work_for_a_run_tracked_by_wandb(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = ("experiment=minimum", "tracking=default", "tracking.wandb.mode=offline", "launcher.max_steps=60")
    outcome: Outcome = command(*words, "hydra.run.dir=run")
    assert outcome.status == 0, outcome.err
    assert list((tmp_path / "run").glob("wandb/offline-run-*"))
    resumed: Outcome = command("resume", "run", "launcher.max_steps=90")
    assert resumed.status == 0, resumed.err
    evaluated: Outcome = command("evaluate", "run", "--episodes", "1")
    assert evaluated.status == 0, evaluated.err
