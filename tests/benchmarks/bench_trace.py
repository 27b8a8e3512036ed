"""What a trace costs `curiosity_noise_world`: `python -m tests.benchmarks.bench_trace`.

The agent's side of a turn with a trace against the same without, in runs that take turns; and the size of the trace
against that of the observations in it. All runs are those of the command line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pamiq_exp.runtime.trace.reading import RecordedTrace, find_traces
from tests.benchmarks.table import Row, markdown

REPOSITORY = Path(__file__).resolve().parents[2]


def run(folder: Path, seconds: float, trace: bool) -> float:
    """Run the experiment in real time, and return the median milliseconds of a step."""
    words = [sys.executable, "-m", "pamiq_exp", "experiment=curiosity_noise_world", "tracking=jsonl_only"]
    words += [f"launcher.max_seconds={seconds}", f"launcher.trace={str(trace).lower()}", f"hydra.run.dir={folder}"]
    subprocess.run(words, cwd=REPOSITORY, check=True, capture_output=True)
    summary = json.loads((folder / "summary.json").read_text())
    return float(summary["step_milliseconds_p50"])


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes of the files of a trace, and of the observations in it."""
    (trace,) = find_traces(folder)
    written = sum(path.stat().st_size for path in trace.rglob("*") if path.is_file())
    turns = RecordedTrace(trace).turns()
    return written, sum(value.nbytes for turn in turns for value in turn.observation.values.values())


def rows(seconds: float, repeats: int) -> Iterator[Row]:
    """Alternate runs with and without a trace."""
    without, traced, shares = [], [], []
    with tempfile.TemporaryDirectory() as place:
        for number in range(repeats):
            without.append(run(Path(place) / f"without{number}", seconds, trace=False))
            folder = Path(place) / f"traced{number}"
            traced.append(run(folder, seconds, trace=True))
            shares.append(sizes(folder))
    ratio = statistics.median(one / other for one, other in zip(traced, without, strict=True))
    medians = f"{statistics.median(without):.2f} ms without, {statistics.median(traced):.2f} ms with a trace"
    yield Row("p50 of a step, traced / not", ratio, "<= 1.03", detail=medians)
    written, observed = shares[-1]
    share = statistics.median(written / observed for written, observed in shares)
    sizes_of_last = f"{written / 1e6:.1f} MB for {observed / 1e6:.1f} MB"
    yield Row("bytes of a trace / of what was observed", share, "<= 1.1", detail=sizes_of_last)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one run")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of runs")
    options = parser.parse_args()
    print(markdown(list(rows(options.seconds, options.repeats))))


if __name__ == "__main__":
    main()
