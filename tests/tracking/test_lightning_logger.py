"""TensorBoard and CSV through Lightning's own loggers."""

from __future__ import annotations

import csv
import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
from lightning.fabric.loggers import CSVLogger as FabricCSVLogger
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from pamiq_exp.media import Picture
from pamiq_exp.tracking import LightningLoggerTracker, RecordWriter, RunInfo


def write_records(tracker: LightningLoggerTracker, folder: Path) -> RecordWriter:
    writer = RecordWriter({"logger": tracker}, folder)
    writer.start(RunInfo(folder, "run", "experiment", seed=0, config={"a": {"b": 1}, "c": "text"}))
    for step in range(5):
        writer.put({"source": "x", "environment_step": step * 10, "x/loss": float(step)})
        writer.put({"source": "y", "environment_step": step * 10, "y/reward": -float(step)})
    writer.put_media(Picture("view", np.full((4, 4, 3), 7, dtype=np.uint8)), 50)
    writer.close(0, {"steps": 50})
    assert writer.failures == {}
    return writer


def test_lightning_logger_the_csv_logger_makes_one_table_of_all_sources(tmp_path: Path) -> None:
    write_records(LightningLoggerTracker(functools.partial(CSVLogger, name="", version=""), folder="csv"), tmp_path)
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    losses = {row["step"]: float(row["x/loss"]) for row in rows if row["x/loss"]}
    rewards = {row["step"]: float(row["y/reward"]) for row in rows if row["y/reward"]}
    assert losses == {str(step * 10): float(step) for step in range(5)}
    assert rewards == {str(step * 10): -float(step) for step in range(5)}


def test_lightning_logger_for_tensorboard_writes_metrics_and_pictures(tmp_path: Path) -> None:
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra [tensorboard]"
    )
    write_records(
        LightningLoggerTracker(functools.partial(TensorBoardLogger, name="", version=""), folder="tb"), tmp_path
    )
    events = accumulators.EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("x/loss")] == [(10 * n, float(n)) for n in range(5)]
    assert [event.step for event in events.Images("view")] == [50]


def test_lightning_logger_a_ready_made_logger_is_used_as_it_is(tmp_path: Path) -> None:
    write_records(LightningLoggerTracker(FabricCSVLogger(tmp_path / "mine", name="n", version="v")), tmp_path)
    assert (tmp_path / "mine" / "n" / "v" / "metrics.csv").exists()


def test_lightning_logger_a_logger_that_cannot_be_made_is_an_error_at_once(tmp_path: Path) -> None:
    tracker = LightningLoggerTracker(functools.partial(CSVLogger, nonsense=1))
    with pytest.raises(TypeError, match="nonsense"):
        RecordWriter({"logger": tracker}, tmp_path).start(RunInfo(tmp_path, "run", "experiment", seed=0))


def test_lightning_logger_a_folder_that_is_removed_under_the_logger_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra [tensorboard]")
    tracker = LightningLoggerTracker(functools.partial(TensorBoardLogger, name="", version=""), folder="tb")
    tracker.start(RunInfo(tmp_path, "run", "experiment", seed=0))
    tracker.write({"environment_step": 1, "x/loss": 1.0})
    for _ in range(20):
        tracker.tick()
    shutil.rmtree(tmp_path / "tb")
    with pytest.raises(FileNotFoundError, match="was moved or removed"):
        tracker.finish(0, {})
