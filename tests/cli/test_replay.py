"""`replay RUN`: a run in real time again, to the same bits, and runs that cannot be replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.bench_trace import sizes
from tests.conftest import Command

RUN = (
    "experiment=real_time", "environment.id=pamiq_exp/PixelTracker-v0", "interaction.interval=0.005",
    "trainers.policy.rollout_steps=32", "launcher.record_every_steps=50", "launcher.trace=true", "tracking=jsonl_only",
    "hydra.run.dir=run",
)  # fmt: skip


def test_replay_reproduces_a_run_exactly_and_reports_the_first_difference(command: Command, tmp_path: Path) -> None:
    outcome = command(*RUN, "launcher.max_steps=200")
    assert outcome.status == 0, outcome.err
    outcome = command("replay", "run", "--check")
    assert outcome.status == 0, outcome.err
    assert "200 turns" in outcome.out
    assert "all bits are the same: actions, records, parameters" in outcome.out
    assert "the code of pamiq_exp" not in outcome.err
    outcome = command("replay", "run", "--until", "40")
    assert "up to turn 40" in outcome.out
    assert "the end of the run was not reached" in outcome.out
    records = Path("run/metrics.jsonl")
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    changed = [line | {"interaction/reward": 9.0} if line["environment_step"] == 150 else line for line in lines]
    records.write_text("".join(json.dumps(line) + "\n" for line in changed))
    outcome = command("replay", "run", "--check")
    assert outcome.status == 1
    assert "turn 149 is the first that differs: interaction/reward in a record at environment step 150" in outcome.out
    assert command("replay", "run").status == 0, "without --check it goes on"
    assert "leave out seed=1" in command("replay", "run", "seed=1").err


def test_replay_without_a_trace_reports_how_to_record_one(command: Command, tmp_path: Path) -> None:
    command("experiment=minimum", "launcher.max_steps=4", "tracking=jsonl_only", "hydra.run.dir=run")
    outcome = command("replay", "run")
    assert outcome.status == 2
    assert "a run keeps one with launcher.trace=true" in outcome.err
    assert "is no run folder" in command("replay", "nowhere").err


@pytest.mark.slow
def test_replay_reproduces_twenty_seconds_of_curiosity_noise_world(command: Command, tmp_path: Path) -> None:
    words = ("launcher.max_seconds=20", "launcher.trace=true", "tracking=jsonl_only", "hydra.run.dir=run")
    assert command("experiment=curiosity_noise_world", *words).status == 0
    outcome = command("replay", "run", "--check")
    assert outcome.status == 0, outcome.out
    assert "all bits are the same" in outcome.out
    written, observed = sizes(tmp_path / "run")
    assert written < 1.1 * observed
