"""Writes what baseline runs reached as tables.

Usage:

    python -m experiments.baselines.collect RUN... -o FOLDER

FOLDER/runs.csv has a row for each run: the best and the last mean return over 100 episodes, and the greedy return if
`evaluate` has been run on it. FOLDER/curves.csv has the mean returns in the course of each run. Rows of runs of other
experiments or seeds, which are there already, stay.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from pamiq_exp.analysis import Run, read_run

RUNS = ("experiment", "seed", "steps", "return_best", "return_last", "return_greedy", "training_steps", "state")
CURVES = ("experiment", "seed", "environment_step", "return_mean")
RETURN = "interaction/return_mean"
EPISODES = 100
"""Means over fewer episodes, from the start of a run, are left out."""


def curve(run: Run) -> list[tuple[int, float]]:
    """Return environment steps and mean returns over the last 100 episodes."""
    rows = []
    for line in (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if RETURN in record:
            rows.append((int(record["environment_step"]), float(record[RETURN]), record["interaction/episodes"]))
    return [(step, value) for step, value, episodes in rows if episodes >= EPISODES]


def row_of(run: Run) -> dict[str, object]:
    """Return what one run reached."""
    values = [value for _, value in curve(run)]
    evaluation = run.folder / "evaluation.json"
    greedy = json.loads(evaluation.read_text(encoding="utf-8"))["return_mean"] if evaluation.exists() else None
    best, last = (max(values), values[-1]) if values else (None, None)
    return {
        "experiment": run.experiment_name,
        "seed": run.seed,
        "steps": run.summary.get("steps"),
        "return_best": _rounded(best),
        "return_last": _rounded(last),
        "return_greedy": _rounded(greedy),
        "training_steps": run.summary.get("training_steps"),
        "state": run.state,
    }


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 2)


def _key(row: Mapping[str, object]) -> tuple[str, int]:
    return str(row["experiment"]), int(str(row["seed"]))


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]], new: Collection[Run]) -> None:
    """Write a table: `rows`, and the rows there are of runs with another experiment or seed than the new ones."""
    kept: list[Mapping[str, object]] = []
    if path.exists():
        replaced = {(run.experiment_name, run.seed) for run in new}
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if _key(row) not in replaced]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*kept, *rows], key=_key))


def main() -> None:
    """Read the runs and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    runs = sorted((read_run(path) for path in given.runs), key=lambda run: (run.experiment_name, run.seed or 0))
    given.output.mkdir(parents=True, exist_ok=True)
    write(given.output / "runs.csv", RUNS, [row_of(run) for run in runs], runs)
    points = (
        dict(zip(CURVES, (run.experiment_name, run.seed, step, round(value, 2)), strict=True))
        for run in runs
        for step, value in curve(run)
    )
    write(given.output / "curves.csv", CURVES, points, runs)


if __name__ == "__main__":
    main()
