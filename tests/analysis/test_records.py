from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_exp.analysis import read_records
from tests.analysis.folders import learning


def write(path: Path, records: list[dict[str, Any]], tail: str = "") -> Path:
    file = path / "metrics.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return file


def test_read_records_reads_every_metric_with_its_axes(tmp_path: Path) -> None:
    records = learning(points=20)
    read = read_records(write(tmp_path, records))
    own = [record for record in records if record["source"] == "dynamics"]
    loss = read.series["dynamics/loss"]
    assert loss.values.tolist() == [record["dynamics/loss"] for record in own]
    assert loss.axes["training_step"].tolist() == [record["training_step"] for record in own]
    assert loss.last == own[-1]["dynamics/loss"]
    assert set(read.series) == {"interaction/coverage", "interaction/reward", "dynamics/loss"}
    assert (read.count, read.unreadable) == (40, 0)


def test_read_records_keeps_the_mean_and_last_value_of_a_long_series(tmp_path: Path) -> None:
    records = [{"source": "a", "environment_step": index, "a/x": float(index % 7)} for index in range(9000)]
    series = read_records(write(tmp_path, records), most=None).series["a/x"]
    assert len(series.values) < 1000
    assert series.values.mean() == pytest.approx(np.mean([index % 7 for index in range(9000)]), abs=0.01)
    assert series.axes["environment_step"].mean() == pytest.approx(4499.5, rel=0.01)
    assert series.last == 8999 % 7


def test_read_records_keeps_every_value_of_a_rare_metric(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [{"source": "a", "environment_step": index, "a/x": 0.0} for index in range(5000)]
    for index in range(0, 5000, 1000):
        records[index]["a/rare"] = float(index)
    read = read_records(write(tmp_path, records), most=50)
    assert read.series["a/rare"].values.tolist() == [0, 1000, 2000, 3000, 4000]
    assert read.series["a/x"].axes["environment_step"][-1] == 4999
    assert read.count == 5000


def test_read_records_keeps_the_first_and_last_record_when_thinning(tmp_path: Path) -> None:
    records = learning(points=300)
    read = read_records(write(tmp_path, records), most=10)
    for series in read.series.values():
        assert series.axes["environment_step"].tolist()[:: len(series.values) - 1] == [5, 1500]
        assert len(series.values) == 10


def test_read_records_reads_non_finite_numbers_as_nan_and_counts_them(tmp_path: Path) -> None:
    values = [1.0, "NaN", 3.0, "Infinity", "-Infinity"]
    records = [{"source": "a", "environment_step": index, "a/x": value} for index, value in enumerate(values)]
    series = read_records(write(tmp_path, records)).series["a/x"]
    assert np.isnan(series.values).tolist() == [False, True, False, True, True]
    assert (series.last, series.not_finite) == (3.0, 3)


def test_read_records_counts_unreadable_lines_and_reads_the_others(tmp_path: Path) -> None:
    broken = '[1, 2]\nnot json\n{"source": "interaction", "environment_step": 7, "interac'
    read = read_records(write(tmp_path, learning(points=5), broken))
    assert (read.count, read.unreadable) == (13, 3)
    assert len(read.series["interaction/coverage"].values) == 5


def test_read_records_reads_text_among_numbers_as_nan(tmp_path: Path) -> None:
    records = [{"source": "a", "environment_step": 1, "a/x": "word"}, {"source": "a", "environment_step": 2, "a/x": 2}]
    series = read_records(write(tmp_path, records)).series["a/x"]
    assert math.isnan(series.values[0])
    assert series.values[1] == 2.0


def test_read_records_returns_no_series_without_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "metrics.jsonl").series == {}
    assert read_records(write(tmp_path, [])).series == {}
    assert read_records(write(tmp_path, [{}, {"source": "a"}])).series == {}
