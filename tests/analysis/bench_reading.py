"""How long it takes to read and summarize many runs.

    python -m tests.analysis.bench_reading --runs 1000 --records 10000

makes run folders in a temporary folder (their records are a few files of 5 MB, linked), reads them, and prints wall
and processor seconds until the tables are there.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from pamiq_exp.analysis import collect_scores, compare, find_runs, read_runs, result_tables
from tests.analysis.folders import write_run

METRICS = {
    "interaction": ["coverage", "coverage_auc", "entropy", "reward", *(f"time/figure_{index}" for index in range(5))],
    "policy": ["loss", "entropy", "approx_kl", "clip_fraction", "gradient_norm", "explained_variance", "value_loss"],
}
ARMS = ("random", "prediction_error", "rnd", "disagreement")
FILES = 8


def main() -> None:
    """Make the folders, read them, print how long it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--all", action="store_true", help="parse every record")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = make(Path(folder), arguments.runs, arguments.records)
        before, started = processor_seconds(), time.perf_counter()
        options = {"records": None} if arguments.all else {}
        runs = read_runs(find_runs([folder]), **options)
        read = time.perf_counter() - started
        tables = result_tables(collect_scores(compare(runs), "coverage"), "random")
        total, processor = time.perf_counter() - started, processor_seconds() - before
    print(f"{len(runs)} runs of {arguments.records} records, {size / 1e9:.1f} GB, {len(tables)} tables")
    print(f"read in {read:.1f} s, summarized in {total:.1f} s; {processor:.1f} processor seconds in all")


def make(folder: Path, runs: int, records: int) -> int:
    """Write the run folders and return how many bytes of records they have."""
    generator = np.random.default_rng(0)
    made: list[Path] = []
    for index in range(runs):
        arm = ARMS[index % len(ARMS)]
        run = write_run(
            folder / str(index),
            seed=index // len(ARMS),
            overrides=["experiment=study", f"reward={arm}"],
            config={"models": {f"part_{part}": {"width": part} for part in range(150)}},
            summary={"coverage": generator.random()},
            records=[],
        )
        path = run / "metrics.jsonl"
        if len(made) < FILES:
            path.write_text("".join(line(step, generator) for step in range(records)))
            made.append(path)
        else:
            path.unlink()
            os.link(made[index % FILES], path)
    return sum(made[index % len(made)].stat().st_size for index in range(runs))


def line(step: int, generator: np.random.Generator) -> str:
    """Return one record as the run writes it."""
    source = "interaction" if step % 5 else "policy"
    axes = {"environment_step": 4 * step, "wall_seconds": step / 7, "run_seconds": step / 3, "model_version": step // 9}
    metrics = {f"{source}/{name}": generator.random() * step for name in METRICS[source]}
    return json.dumps({"source": source, **axes, "training_step": step, **metrics}) + "\n"


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
