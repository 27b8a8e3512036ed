"""Curves of `metrics.jsonl`: followed as it grows, thinned where it is long, with counts of damaged lines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pamiq_exp.dashboard.curves import MOST_RECORDS, MOST_VALUES, Curve, MetricsFile, smoothed
from pamiq_exp.tracking.jsonl import to_line


def record(step: int, source: str = "interaction", **metrics: float | str) -> str:
    axes = {"source": source, "environment_step": step, "wall_seconds": step / 10, "run_seconds": step / 5,
            "model_version": step // 10, "training_step": 2 * step, "observation_age_seconds": 0.0}  # fmt: skip
    return to_line(axes | {f"{source}/{name}": value for name, value in metrics.items()})


def append(folder: Path, text: str) -> None:
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(text)


def curve(metrics: MetricsFile, name: str, axis: str = "environment_step") -> Curve:
    found = metrics.curve(name, axis)
    assert found is not None
    return found


def test_curves_grow_with_the_file(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path)
    assert not metrics.poll()
    append(tmp_path, record(1, coverage=0.1) + record(1, "trainer", loss=3.0))
    assert metrics.poll()
    assert not metrics.poll()
    append(tmp_path, record(2, coverage=0.2))
    assert metrics.poll()
    assert metrics.names() == ["interaction/coverage", "trainer/loss"]
    assert curve(metrics, "interaction/coverage").y.tolist() == [0.1, 0.2]
    assert curve(metrics, "interaction/coverage", "wall_seconds").x.tolist() == [0.1, 0.2]
    assert metrics.curve("interaction/nothing", "environment_step") is None


def test_metrics_file_waits_for_the_rest_of_a_half_written_line(tmp_path: Path) -> None:
    metrics, line = MetricsFile(tmp_path), record(2, coverage=0.2)
    append(tmp_path, record(1, coverage=0.1) + line[:30])
    metrics.poll()
    assert metrics.half_line
    assert metrics.records == 1
    append(tmp_path, line[30:])
    metrics.poll()
    assert not metrics.half_line
    assert curve(metrics, "interaction/coverage").y.tolist() == [0.1, 0.2]


def test_metrics_file_counts_and_skips_damaged_lines(tmp_path: Path) -> None:
    damaged = ("{}", "nonsense", '{"source": "interaction", "a": }', '{"source": "interaction"', "\x00\x00")
    for number, line in enumerate(damaged):
        folder = tmp_path / str(number)
        folder.mkdir()
        metrics = MetricsFile(folder)
        append(folder, record(1, coverage=0.1) + f"{line}\n" + record(2, coverage=0.2))
        metrics.poll()
        assert metrics.unreadable == 1, line
        assert curve(metrics, "interaction/coverage").y.tolist() == [0.1, 0.2], line


def test_metrics_file_reads_a_replaced_file_from_its_beginning(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path)
    append(tmp_path, "".join(record(step, coverage=0.1) for step in range(20)))
    metrics.poll()
    (tmp_path / "new").write_text(record(1, coverage=0.9))
    (tmp_path / "new").rename(tmp_path / "metrics.jsonl")
    metrics.poll()
    assert curve(metrics, "interaction/coverage").y.tolist() == [0.9]


def test_metrics_file_reads_non_finite_numbers_as_gaps(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path)
    append(tmp_path, record(1, loss=float("nan")) + record(2, loss=float("inf")) + record(3, loss=1.0))
    metrics.poll()
    assert np.isfinite(curve(metrics, "interaction/loss").y).tolist() == [False, False, True]


def test_metrics_file_thins_a_long_run_evenly_and_keeps_the_newest_record(tmp_path: Path) -> None:
    count = 10 * MOST_RECORDS + 7
    append(tmp_path, "".join(record(step, coverage=step) for step in range(count)))
    metrics = MetricsFile(tmp_path)
    metrics.poll()
    found = curve(metrics, "interaction/coverage")
    assert found.records == count
    assert MOST_RECORDS / 2 <= len(found.x) <= MOST_RECORDS + 1
    assert set(np.diff(found.x[:-1])) == {found.every}
    assert found.x[-1] == count - 1


def test_metrics_file_gives_the_same_curve_if_followed_or_read_at_once(tmp_path: Path) -> None:
    lines = [record(step, coverage=step) for step in range(3 * MOST_RECORDS)]
    followed = MetricsFile(tmp_path)
    for start in range(0, len(lines), 311):
        append(tmp_path, "".join(lines[start : start + 311]))
        followed.poll()
    at_once = MetricsFile(tmp_path)
    at_once.poll()
    first, second = (curve(each, "interaction/coverage") for each in (followed, at_once))
    assert first.x.tolist() == second.x.tolist()


def test_metrics_file_keeps_every_record_of_a_rare_metric(tmp_path: Path) -> None:
    rare = {3000: 1.0, 6000: 2.0}
    lines = [record(step, coverage=step, **_maybe(rare, step)) for step in range(8000)]
    append(tmp_path, "".join(lines))
    metrics = MetricsFile(tmp_path)
    metrics.poll()
    assert curve(metrics, "interaction/return").y.tolist() == [1.0, 2.0]


def _maybe(values: Mapping[int, float], step: int) -> dict[str, float]:
    return {"return": values[step]} if step in values else {}


def test_metrics_file_keeps_fewer_records_of_ten_thousand_metrics(tmp_path: Path) -> None:
    names = {f"metric_{index}": 0.5 for index in range(10_000)}
    line = record(1, **names)
    append(tmp_path, line * 210)
    metrics = MetricsFile(tmp_path)
    began = time.monotonic()
    metrics.poll()
    assert time.monotonic() - began < 10.0
    assert len(metrics.names()) == 10_000
    assert len(curve(metrics, "interaction/metric_9999").x) * 10_000 <= MOST_VALUES


def test_smoothed_keeps_a_constant_and_skips_gaps() -> None:
    assert smoothed(np.full(5, 3.0), 0.9) == pytest.approx(np.full(5, 3.0))
    values = smoothed(np.array([1.0, np.nan, 2.0]), 0.5)
    assert np.isnan(values[1])
    assert values[2] == pytest.approx((0.25 * 1.0 + 0.5 * 2.0) / 0.75)
    assert smoothed(np.array([1.0, 5.0]), 0.0).tolist() == [1.0, 5.0]
