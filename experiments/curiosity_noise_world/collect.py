"""Take out of the run folders of a sweep what the study needs of them, into small files beside this one.

    python experiments/curiosity_noise_world/collect.py outputs/sweeps/curiosity_study/DATE... -o results/NAME

Writes `runs.csv` (a row for each run), `curves.csv` (coverage over environment steps) and `visits.npz` (how often each
cell was visited, summed over seeds, by `arm/world`).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import ArrayLike, NDArray

from pamiq_exp.analysis import Run, find_runs, read_runs

FIGURES = (
    "coverage_auc", "coverage", "rooms_visited", "noise_share", "noise_heavy_share", "time_in_noisy_room",
    "remote_presses", "remote_press_rate", "longest_dwell", "first_visit_auroc", "reward_noise_correlation",
    "reward_noise_heavy", "reward_noise_free", "visit_entropy", "visit_entropy_recent",
    "heading_entropy", "reward_mean", "wall_seconds",
    *(f"reward_noise_tenth_{tenth}" for tenth in range(10)),
)  # fmt: skip
"""What of a summary goes into `runs.csv`."""

CURVE = "interaction/coverage"
RECORDED = ("interaction/entropy",)
"""Figures of which the last recorded value goes into `runs.csv`."""

LATE = ("interaction/noise_share", "interaction/remote_press_rate")
"""Figures whose mean over the records of the last fifth of a run goes into `runs.csv`, as `..._late`."""


def choice(run: Run, group: str) -> str:
    """Return what a run was told to choose from a group."""
    return next((word.partition("=")[2] for word in run.overrides if word.startswith(f"{group}=")), "")


def write_rows(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table of comma-separated values."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def plain(name: str) -> str:
    """Return the name of a recorded figure without its source."""
    return name.rpartition("/")[2]


def short(value: object) -> object:
    """Return a number with six digits, anything else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def late(run: Run, figure: str) -> object:
    """Return the mean of a recorded figure over the last fifth of a run; nothing where it was never recorded."""
    series = run.records.series.get(figure)
    if series is None:
        return ""
    steps = series.axes["environment_step"]
    return short(float(series.values[steps > 0.8 * steps[-1]].mean()))


def visits(run: Run) -> NDArray[np.int64] | None:
    """Return how often each cell was visited, `(rows, columns)`, out of a run's last checkpoint."""
    checkpoints = sorted((run.folder / "checkpoints").glob("step_*"))
    if not checkpoints:
        return None
    tensors = safetensors.numpy.load_file(checkpoints[-1] / "interaction.safetensors")
    shape = next(value.shape for name, value in tensors.items() if name.endswith("visited") and value.ndim == 2)
    sums = next(value for name, value in tensors.items() if ".visits." in name and "_cells" in name and value.ndim == 2)
    counts: NDArray[np.int64] = sums.sum(0, dtype=np.int64).reshape(shape)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    finished = [run for run in read_runs(find_runs(arguments.sweeps)) if run.state == "finished"]
    # A run that two sweeps made is the same run, bit for bit.
    runs = list({(choice(run, "world"), choice(run, "arm"), run.seed): run for run in finished}.values())
    runs.sort(key=lambda run: (choice(run, "world"), choice(run, "arm"), run.seed or 0))
    arguments.output.mkdir(parents=True, exist_ok=True)
    names = [(choice(run, "arm"), choice(run, "world"), run.seed) for run in runs]
    names_of_records = [*(plain(name) for name in RECORDED), *(f"{plain(name)}_late" for name in LATE)]
    head = ["arm", "world", "seed", "steps", *FIGURES, *names_of_records]
    write_rows(
        arguments.output / "runs.csv",
        head,
        (
            [*name, run.summary["steps"], *(short(run.summary.get(figure, "")) for figure in FIGURES),
             *(short(run.value(figure)) if run.value(figure) is not None else "" for figure in RECORDED),
             *(late(run, figure) for figure in LATE)]
            for name, run in zip(names, runs, strict=True)
        ),
    )  # fmt: skip
    points = []
    for name, run in zip(names, runs, strict=True):
        series = run.records.series[CURVE]
        steps = series.axes["environment_step"].tolist()
        points += [[*name, round(at), short(value)] for at, value in zip(steps, series.values.tolist(), strict=True)]
    write_rows(arguments.output / "curves.csv", ["arm", "world", "seed", "step", "coverage"], points)
    maps: dict[str, NDArray[np.int64]] = {}
    for (arm, world, _), run in zip(names, runs, strict=True):
        counts = visits(run)
        if counts is not None:
            maps[f"{arm}/{world}"] = maps.get(f"{arm}/{world}", 0) + counts
    small: dict[str, ArrayLike] = {name: value.astype(np.int32) for name, value in maps.items()}
    np.savez_compressed(arguments.output / "visits.npz", allow_pickle=False, **small)
    print(json.dumps({"runs": len(runs), "cells": len(maps)}))


if __name__ == "__main__":
    main()
