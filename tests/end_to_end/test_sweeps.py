"""Every shipped sweep runs a few steps of one of its jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.config import Source
from pamiq_exp.sweeps.sweep_file import read
from tests.cli.sweep_fixtures import states, sweep_folder
from tests.conftest import Command, options_of
from tests.end_to_end.worlds import need_packages_of

NAMES = options_of("sweep")
EXTRA = {"ppo_search": ["launcher.max_steps=8000"]}
"""Settings that a short run needs to have a result."""


def first_job(name: str) -> list[str]:
    """Return the words that leave one short job of a sweep."""
    file = read(name, Source())
    words = [f"{key}={values[0]}" for key, values in file.grid.items()]
    words += ["hydra.sweeper.trials=1", "hydra.sweeper.seeds=[0]"] if file.search.space else ["seed=0"]
    words += [] if file.experiment else ["experiment=minimum"]
    return [*words, *EXTRA.get(name, ["launcher.max_steps=40"]), "tracking=jsonl_only", "hydra.launcher.n_jobs=1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_sweep_of_each_shipped_file_runs_one_job(name: str, command: Command, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs the extra [sweep]")
    need_packages_of(name)
    outcome = command("-m", f"sweep={name}", *first_job(name))
    assert outcome.status == 0, outcome.err
    assert states(sweep_folder(tmp_path)) == ["finished"]
