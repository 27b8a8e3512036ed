"""Every shipped sweep does what it says, a few steps of one of its jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.sweep_fixtures import states, sweep_folder
from tests.conftest import Outcome

WORDS = {
    "noise": ["world=clean", "agent=random", "seed=0", "launcher.max_steps=40"],
    "ppo_search": ["hydra.sweeper.trials=1", "hydra.sweeper.seeds=[0]", "launcher.max_steps=8000"],
    "seeds": ["experiment=minimum", "seed=0", "launcher.max_steps=40", "tracking=jsonl_only"],
}


def test_every_shipped_sweep_is_here(repository: Path) -> None:
    assert sorted(path.stem for path in (repository / "conf" / "sweep").glob("*.yaml")) == sorted(WORDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORDS)
def test_a_shipped_sweep_runs(name: str, command: Callable[..., Outcome], tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs the extra [sweep]")
    outcome = command("-m", f"sweep={name}", *WORDS[name], "hydra.launcher.n_jobs=1")
    assert outcome.status == 0, outcome.err
    assert states(sweep_folder(tmp_path)) == ["finished"]
