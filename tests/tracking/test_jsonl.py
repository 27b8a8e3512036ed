"""metrics.jsonl: its lines, and the records after a full disk, a crash and a resume."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.tracking import AXES, JsonlTracker, RunInfo
from pamiq_exp.tracking.jsonl import to_line


def info(folder: Path, resumed_step: int | None = None) -> RunInfo:
    return RunInfo(folder=folder, name="run", experiment_name="experiment", seed=0, resumed_step=resumed_step)


def record(step: int, **metrics: float) -> dict[str, float | int | str]:
    return {"source": "dynamics", "environment_step": step, "wall_seconds": step / 10, **metrics}


def read(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


names = st.text("abcdefgh/_", min_size=1, max_size=12)
metrics = st.dictionaries(names, st.one_of(st.floats(), st.integers(-(2**60), 2**60), st.text(max_size=8)), max_size=8)


@given(metrics)
def test_jsonl_a_line_reads_back_as_what_was_written(values: dict[str, float | int | str]) -> None:
    line = to_line({"environment_step": 7, **values})
    assert line.endswith("\n")
    assert line.count("\n") == 1
    back = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert back.keys() == {"environment_step", *values}
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            assert isinstance(back[name], str)
            assert math.isnan(float(back[name])) if math.isnan(value) else float(back[name]) == value
        else:
            assert back[name] == value


def test_jsonl_lines_start_with_the_axes_and_sort_the_metrics() -> None:
    axes = dict.fromkeys(AXES, 1)
    line = to_line({"b/loss": 2.0, **axes, "a/loss": 1.0})
    assert line == to_line({"a/loss": 1.0, "b/loss": 2.0, **axes})
    assert tuple(json.loads(line)) == (*AXES, "a/loss", "b/loss")


def test_jsonl_records_are_on_disk_before_the_run_ends(tmp_path: Path) -> None:
    tracker = JsonlTracker(flush_seconds=0.0)
    tracker.start(info(tmp_path))
    tracker.write(record(1))
    assert read(tmp_path) == [record(1)]
    tracker.finish(0, {})


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let writes of this process fail beyond this size, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_jsonl_writes_records_that_a_full_disk_refused_once_there_is_room(tmp_path: Path) -> None:
    tracker = JsonlTracker(flush_seconds=0.0)
    tracker.start(info(tmp_path))
    failures = 0
    with files_no_larger_than(333):
        for step in range(20):
            try:
                tracker.write(record(step))
            except OSError:
                failures += 1
    assert 0 < failures < 20
    assert (tmp_path / "metrics.jsonl").stat().st_size <= 333
    tracker.finish(0, {})
    assert read(tmp_path) == [record(step) for step in range(20)]


def test_jsonl_reports_how_many_records_a_full_disk_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = JsonlTracker(flush_seconds=1e9)
    tracker.start(info(tmp_path))
    for step in range(20):
        tracker.write(record(step))
    with files_no_larger_than(333), pytest.raises(OSError, match="too large"):
        tracker.finish(1, {})
    kept = (tmp_path / "metrics.jsonl").read_text().count("\n")
    assert f"{20 - kept} records could not be written" in caplog.text


def test_jsonl_of_a_resumed_run_continues_from_the_checkpoint(tmp_path: Path) -> None:
    first = JsonlTracker()
    first.start(info(tmp_path))
    for step in (0, 10, 20, 30):
        first.write(record(step))
    first.finish(1, {})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"source": "dynamics", "environment_st')  # the process was killed here
    second = JsonlTracker()
    second.start(info(tmp_path, resumed_step=20))
    second.write(record(30, late=1.0))
    second.finish(0, {})
    assert read(tmp_path) == [record(0), record(10), record(20), record(30, late=1.0)]


def test_jsonl_a_new_start_in_the_same_folder_repairs_only_the_last_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(to_line(record(5)) + '{"environment_step": 6}')
    tracker = JsonlTracker()
    tracker.start(info(tmp_path))
    tracker.write(record(7))
    tracker.finish(0, {})
    assert read(tmp_path) == [record(5), record(7)]


def test_jsonl_equal_runs_give_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tracker = JsonlTracker()
        tracker.start(info(tmp_path / name))
        for step in range(5):
            tracker.write(record(step, loss=1 / (step + 1)))
        tracker.finish(0, {})
    assert (tmp_path / "a/metrics.jsonl").read_bytes() == (tmp_path / "b/metrics.jsonl").read_bytes()
