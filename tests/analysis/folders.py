"""Run folders as a run writes them, without a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

MACHINE = {
    "cpu": "A processor",
    "cpus_usable": 2,
    "memory_bytes": 2**34,
    "gpus": [],
    "system": "Linux",
    "python": "3.11",
}


def write_run(
    folder: Path,
    *,
    seed: int = 0,
    overrides: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    state: str = "finished",
    reason: str | None = None,
    summary: Mapping[str, Any] | None = None,
    records: Sequence[Mapping[str, Any]] | None = None,
    experiment_name: str = "study",
    started: str = "2026-01-01T00:00:00",
    command: Sequence[str] | None = None,
) -> Path:
    """Write one run folder and return it."""
    (folder / "media").mkdir(parents=True)
    tree = {"experiment_name": experiment_name, "seed": seed, "launcher": {"max_steps": 100}, **(config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    (folder / "overrides.yaml").write_text(yaml.safe_dump([*overrides, f"seed={seed}"]))
    manifest = {
        "experiment_name": experiment_name,
        "seed": seed,
        "state": state,
        "reason": reason,
        "started": started,
        "command": list(command or ["python", "-m", "pamiq_exp", *overrides, f"seed={seed}"]),
        "machine": MACHINE,
        "threads": {"inference": 1, "training": 1},
        "code": {"commit": "0123456789abcdef", "dirty": False},
        "versions": {"pamiq_exp": "0.1.0", "torch": "2.13.0", "numpy": "2.0.0"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if state == "finished" or summary is not None:
        values = {
            "state": state,
            "seed": seed,
            "steps": 100,
            "wall_seconds": 2.0,
            "steps_per_second": 50.0,
            "training_steps": 9,
        }
        (folder / "summary.json").write_text(json.dumps(values | dict(summary or {})))
    lines = learning() if records is None else records
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def learning(end: float = 1.0, points: int = 20, noise: float = 0.0, seed: int = 0) -> list[dict[str, Any]]:
    """Records of a run whose coverage rises to `end`, and of a trainer whose loss falls."""
    draws = np.random.default_rng(seed).normal(scale=noise, size=points)
    records: list[dict[str, Any]] = []
    for index in range(points):
        axes = {
            "environment_step": 5 * (index + 1),
            "wall_seconds": 0.1 * (index + 1),
            "run_seconds": 0.5 * (index + 1),
            "model_version": index,
            "training_step": 2 * index,
        }
        level = (
            end * (1.0 - np.exp(-4.0 * (index + 1) / points)) * float(np.exp(draws[: index + 1].sum() / points**0.5))
        )
        records.append(
            {"source": "interaction", **axes, "interaction/coverage": level, "interaction/reward": 0.1 + level}
        )
        records.append(
            {"source": "dynamics", **axes, "dynamics/loss": float(np.exp(-index / points)) + abs(draws[index])}
        )
    return records


def write_study(
    folder: Path,
    *,
    arms: Mapping[str, float],
    worlds: Sequence[str] = ("clean", "tvroom"),
    seeds: int = 5,
    points: int = 20,
) -> Path:
    """Write a sweep over rewards, worlds and seeds; `arms` gives the coverage that each reaches in the first world."""
    generator = np.random.default_rng(1)
    job = 0
    for arm, level in arms.items():
        for index, world in enumerate(worlds):
            for seed in range(seeds):
                end = float(
                    np.clip(level * (1.0 - 0.35 * index * (arm != "oracle")) + generator.normal(scale=0.05), 0.02, 1)
                )
                write_run(
                    folder / str(job),
                    seed=seed,
                    overrides=["experiment=study", f"reward={arm}", f"world={world}"],
                    config={"agent": {"reward": {"kind": arm}, "rate": 1e-3}, "environment": {"world": world}},
                    summary={
                        "coverage": end,
                        "reward_mean": generator.normal(),
                        "dynamics_loss_last": generator.uniform(),
                    },
                    records=learning(end, points, 0.15, job),
                )
                job += 1
    return folder
