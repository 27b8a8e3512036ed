"""What a record costs the thread that makes it: `python -m tests.benchmarks.bench_records`.

All trackers are the real ones: metrics.jsonl, an offline W&B run and the terminal's panel. The naive way hands
each record to the same trackers on the thread that acts.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from rich.console import Console

from pamiq_exp.tracking import JsonlTracker, RecordWriter, RunInfo, TerminalTracker, Tracker, WandbTracker
from tests.benchmarks.table import Row, markdown

Record = Mapping[str, float | int | str]


def trackers() -> dict[str, Tracker]:
    """What a run has by default, with a terminal that is not watched."""
    console = Console(file=io.StringIO(), force_terminal=True, width=110)
    return {
        "jsonl": JsonlTracker(),
        "terminal": TerminalTracker(console=console),
        "wandb": WandbTracker(mode="offline"),
    }


def microseconds(put: Callable[[Record], object], records: int, interval: float) -> np.ndarray:
    """Time `put` for as many records, one every `interval` seconds."""
    durations = np.empty(records)
    due = time.perf_counter()
    for index in range(records):
        record = {"source": "interaction", "environment_step": index, "wall_seconds": index * interval}
        record |= {f"interaction/figure{n}": 0.1 * n for n in range(16)}
        due += interval
        time.sleep(max(0.0, due - time.perf_counter()))
        started = time.perf_counter()
        put(record)
        durations[index] = 1e6 * (time.perf_counter() - started)
    return durations


def measure(records: int = 4000, interval: float = 0.002) -> Row:
    """The 99th percentile of handing over a record, ours and the naive way."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        info = RunInfo(folder, "run", "benchmark", seed=0, max_steps=records)
        writer = RecordWriter(trackers(), folder)
        writer.start(info)
        ours = microseconds(writer.put, records, interval)
        writer.close(0, {})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        direct = trackers()
        for tracker in direct.values():
            tracker.start(RunInfo(folder, "run", "benchmark", seed=0, max_steps=records))

        def hand_over(record: Record) -> None:
            for tracker in direct.values():
                tracker.write(record)
                tracker.tick()

        naive = microseconds(hand_over, records, interval)
        for tracker in direct.values():
            tracker.finish(0, {})
    p50, p99, p999 = np.percentile(ours, [50, 99, 99.9])
    detail = (
        f"p50 {p50:.1f} us, p99 {p99:.1f} us, p99.9 {p999:.1f} us; {records} records, one every {interval * 1e3:g} ms"
    )
    return Row("handing over a record, p99 (us)", float(p99), "<= 20", float(np.percentile(naive, 99)), detail)


if __name__ == "__main__":
    print(markdown([measure()]))
