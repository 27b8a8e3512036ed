"""Each shipped reward runs in pamiq2024 by its name alone, learns, and resumes to the same bits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.conftest import Command, options_of
from tests.end_to_end.runs import assert_equal_runs, records

ELSEWHERE = {"extrinsic", "reconstruction_error"}
"""Rewards of other agents or experiments, which have their own tests."""

NAMES = sorted(set(options_of("reward")) - ELSEWHERE)

RESUMED = {"learning_progress"}
"""The reward with the most state resumes in every test run, the others in `make test-all`."""

QUICK = (
    "experiment=pamiq2024",
    "launcher=lockstep",
    "tracking=jsonl_only",
    "metrics=none",
    "environment.image_size=32",
    "environment.images.size=8",
    "trainers.policy.rollout_steps=32",
    "launcher.record_every_steps=40",
)
SOON = {
    "encoder": ("learning_starts=40", "train_every=40"),
    "dynamics": ("learning_starts=40", "train_every=40", "held_out.turns=16"),
    "rnd": ("learning_starts=40",),
    "levels": ("learning_starts=40",),
    "hierarchy": ("learning_starts=40",),
}


def soon(name: str) -> tuple[str, ...]:
    """Let all trainers begin within a hundred steps."""
    from pamiq_exp.config import compose_config

    config = compose_config([*QUICK, f"reward={name}"])
    words = [
        f"trainers.{trainer}.{word}"
        for trainer, settings in SOON.items()
        if trainer in config.trainers
        for word in settings
    ]
    if "encoder" in config.trainers and "held_out" in config.trainers.encoder:
        words.append("trainers.encoder.held_out.turns=16")
    words += [f"models.{model}.warmup=40" for model in config.models if "warmup" in config.models[model]]
    return tuple(words)


def run(command: Command, folder: Path, *words: str) -> Path:
    outcome = command(*QUICK, f"hydra.run.dir={folder}", *words)
    assert outcome.status == 0, outcome.err
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_reward_runs_and_trains_when_chosen_by_name(command: Command, tmp_path: Path, name: str) -> None:
    folder = run(command, tmp_path / "run", f"reward={name}", *soon(name), "launcher.max_steps=400")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["training_steps"] > 0
    assert all(math.isfinite(value) for value in summary.values() if isinstance(value, float))
    rewarded = [record for record in records(folder) if record.get("interaction/reward")]
    assert rewarded, "no reward was ever given"
    metrics = {key.removeprefix("interaction/") for key in rewarded[-1]}
    assert any(f"{metric}_raw" in metrics for metric in metrics), metrics


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in RESUMED else pytest.mark.slow) for name in NAMES]
)
def test_reward_resumes_to_the_same_bits(command: Command, tmp_path: Path, name: str) -> None:
    words = (f"reward={name}", *soon(name))
    once = run(command, tmp_path / "once", *words, "launcher.max_steps=180")
    parts = run(command, tmp_path / "parts", *words, "launcher.max_steps=130")
    outcome = command("resume", str(parts), "launcher.max_steps=180")
    assert outcome.status == 0, outcome.err
    assert_equal_runs(once, parts)
