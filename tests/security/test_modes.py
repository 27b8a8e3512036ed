"""Folders that may hold a secret for a moment are private to the user."""

from __future__ import annotations

import stat
from pathlib import Path

from pamiq_exp.jobs.request import read_request
from pamiq_exp.sweeps.copied_configs import copy_sweep_configs
from tests.conftest import Command

SMALL = ["experiment=minimum", "tracking=jsonl_only", "launcher=lockstep", "launcher.max_steps=20"]


def mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_run_folder_is_private_to_the_user(command: Command, tmp_path: Path) -> None:
    assert command(*SMALL).status == 0
    (run,) = (path.parent for path in tmp_path.rglob("summary.json"))
    assert mode(run) == 0o700


def test_copy_sweep_configs_makes_the_sweep_folder_private_to_the_user(tmp_path: Path) -> None:
    copy_sweep_configs(read_request(["-m", "experiment=minimum", "seed=0,1"]), tmp_path / "sweep")
    assert mode(tmp_path / "sweep") == 0o700
