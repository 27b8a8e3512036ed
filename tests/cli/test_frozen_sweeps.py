"""Edits of config files during a sweep do not change its jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.conftest import Outcome

OVERWRITING = """\
from pathlib import Path

from tests.config.parts import Doll


class Overwriting(Doll):
    def __init__(self, action, num_envs, seed=0, fail_at=None, stop_at=None, file=""):
        super().__init__(action, num_envs, seed)
        self._file = Path(file)

    def step(self, observation):
        if list(Path("outputs").rglob("manifest.json")):  # not yet while the config is being checked
            self._file.write_text("this: [is no YAML")
        return super().step(observation)
"""


@pytest.mark.slow
def test_frozen_sweep_finishes_after_its_config_file_is_overwritten(  # type: ignore[no-untyped-def]
    command, doll: list[str], tmp_path: Path
) -> None:
    (tmp_path / "overwriting.py").write_text(OVERWRITING)
    file = tmp_path / "conf" / "experiment" / "doll.yaml"
    words = (
        "--allow",
        "overwriting",
        "seed=0,1",
        "launcher.max_steps=4",
        "interaction.agent._target_=overwriting.Overwriting",
        f"+interaction.agent.file={file}",
    )
    outcome: Outcome = command("-m", *doll, *words)
    assert outcome.status == 0, outcome.err
    assert file.read_text() == "this: [is no YAML"
    (sweep,) = (tmp_path / "outputs" / "sweeps" / "doll").iterdir()
    for job in ("0", "1"):
        assert json.loads((sweep / job / "manifest.json").read_text())["state"] == "finished"
        assert yaml.safe_load((sweep / job / "config.yaml").read_text())["experiment_name"] == "doll"
    assert (sweep / "conf" / "own" / "experiment" / "doll.yaml").is_file()


def test_resume_can_change_groups_of_a_job_moved_out_of_its_sweep(  # type: ignore[no-untyped-def]
    command, doll: list[str], tmp_path: Path
) -> None:
    assert command("-m", *doll, "seed=0,1", "launcher.max_steps=4").status == 0
    (sweep,) = (tmp_path / "outputs" / "sweeps" / "doll").iterdir()
    job = tmp_path / "job"
    (sweep / "1").rename(job)
    outcome: Outcome = command(
        "resume", str(job), "--allow", "tests.config.parts", "launcher=pipelined", "launcher.max_steps=8"
    )
    assert outcome.status == 0, outcome.err
    config = yaml.safe_load((job / "config.yaml").read_text())
    assert (config["seed"], config["launcher"]["mode"], config["launcher"]["max_steps"]) == (1, "pipelined", 8)


def test_frozen_sweep_works_in_a_folder_with_special_characters(  # type: ignore[no-untyped-def]
    command, doll: list[str], tmp_path: Path
) -> None:
    odd = tmp_path / "it's, a {folder}=1"
    outcome: Outcome = command("-m", *doll, "seed=0", "launcher.max_steps=4", f'paths.outputs="{odd}"')
    assert outcome.status == 0, outcome.err
    assert len(list(odd.rglob("summary.json"))) == 1
