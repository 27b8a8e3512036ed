"""Every shipped experiment takes its first steps."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.conftest import Command, experiment_names
from tests.end_to_end.worlds import world_of

QUICK = ("launcher=lockstep", "tracking=jsonl_only", "launcher.max_steps=40", "launcher.record_every_steps=10")


SLOW = ("cartpole_jax", "curiosity_noise_world_imagination", "vizdoom_curiosity")
"""The page on JAX and the other curious experiments run the same parts in the fast set."""


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow if each in SLOW else ()) for each in experiment_names()]
)
def test_experiment_runs_its_first_steps(command: Command, tmp_path: Path, name: str) -> None:
    with world_of(name, tmp_path / "world") as words:
        outcome = command(f"experiment={name}", *QUICK, *words)
    assert outcome.status == 0, outcome.err
    (path,) = (tmp_path / "outputs" / name).rglob("summary.json")
    summary = json.loads(path.read_text())
    assert summary["state"] == "finished"
    assert summary["steps"] >= 40
    assert all(math.isfinite(value) for value in summary.values() if isinstance(value, float))
    records = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
    assert records
    assert all(record["environment_step"] <= summary["steps"] for record in records)
