"""A run repeats bit for bit, also when it is interrupted; another seed gives another run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command
from tests.end_to_end.runs import assert_equal_runs, records

FLAGSHIP = (
    "experiment=pamiq2024",
    "environment.image_size=32",
    "environment.images.size=16",
    "trainers.policy.rollout_steps=32",
    "trainers.encoder.learning_starts=40",
    "trainers.encoder.train_every=40",
    "trainers.dynamics.learning_starts=40",
    "trainers.dynamics.train_every=40",
)


def run(command: Command, folder: Path, *words: str) -> Path:
    outcome = command(*words, "tracking=jsonl_only", "launcher.record_every_steps=40", f"hydra.run.dir={folder}")
    assert outcome.status == 0, outcome.err
    return folder


@pytest.mark.parametrize("mode", ["lockstep", pytest.param("pipelined", marks=pytest.mark.slow)])
def test_runs_with_one_seed_are_equal_and_resuming_changes_nothing(command: Command, tmp_path: Path, mode: str) -> None:
    words = (*FLAGSHIP, f"launcher={mode}", "seed=3")
    once = run(command, tmp_path / "once", *words, "launcher.max_steps=200")
    parts = run(command, tmp_path / "parts", *words, "launcher.max_steps=110")
    begun = records(parts)
    assert begun == records(once)[: len(begun)]
    outcome = command("resume", str(parts), "launcher.max_steps=200")
    assert outcome.status == 0, outcome.err
    assert_equal_runs(once, parts)
    sources = {record["source"] for record in records(once)}
    assert sources >= {"interaction", "encoder", "dynamics", "policy"}, (
        "not everything has trained: the test is too short"
    )


def test_runs_with_different_seeds_differ(command: Command, tmp_path: Path) -> None:
    words = ("experiment=minimum", "launcher=lockstep", "launcher.max_steps=80")
    folders = [run(command, tmp_path / seed, *words, f"seed={seed}") for seed in "12"]
    assert records(folders[0]) != records(folders[1])
