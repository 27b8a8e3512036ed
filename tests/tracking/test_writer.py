"""The writer: no call blocks, no record is lost, every failure is counted and logged."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from pamiq_exp.media import Media, Picture
from pamiq_exp.tracking import JsonlTracker, Record, RecordWriter, RunInfo, Tracker, Value


def info(folder: Path) -> RunInfo:
    return RunInfo(folder=folder, name="run", experiment_name="experiment", seed=0)


class Memory(Tracker):
    """Keeps what it gets; waits for `gate` and raises `error` where one is given."""

    def __init__(self, error: BaseException | None = None, gate: threading.Event | None = None) -> None:
        self.error = error
        self.gate = gate
        self.records: list[Record] = []
        self.shown: list[tuple[str, Path, int]] = []
        self.ended: list[tuple[int, Mapping[str, Value]]] = []
        self.ticks = 0

    def write(self, record: Record) -> None:
        if self.gate is not None:
            self.gate.wait()
        if self.error is not None:
            raise self.error
        self.records.append(record)

    def media(self, item: Media, path: Path, environment_step: int) -> None:
        self.shown.append((item.name, path, environment_step))

    def tick(self) -> None:
        self.ticks += 1

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        if self.gate is not None:
            self.gate.wait()
        self.ended.append((exit_code, summary))


class Detached(Memory):
    detached = True
    finish_seconds = 0.05


def test_writer_every_tracker_gets_every_record_in_order_and_the_end(tmp_path: Path) -> None:
    own, foreign = Memory(), Detached()
    writer = RecordWriter({"own": own, "foreign": foreign}, tmp_path)
    writer.start(info(tmp_path))
    for step in range(500):
        writer.put({"environment_step": step})
    writer.close(3, {"steps": 500})
    for tracker in (own, foreign):
        assert [record["environment_step"] for record in tracker.records] == list(range(500))
        assert tracker.ended == [(3, {"steps": 500})]
    assert writer.failed_writes == 0
    writer.check()


def test_writer_put_returns_while_the_trackers_are_stuck_and_nothing_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    stuck = Memory(gate=gate)
    writer = RecordWriter({"stuck": stuck}, tmp_path, large=100)
    writer.start(info(tmp_path))
    for step in range(1000):
        writer.put({"environment_step": step})
    assert writer.queue_depth >= 999
    gate.set()
    writer.close(0, {})
    assert len(stuck.records) == 1000
    assert [record.getMessage() for record in caplog.records if "does not keep up" in record.getMessage()][1:] == []
    assert "does not keep up" in caplog.text


def test_writer_a_detached_tracker_that_hangs_delays_nothing_and_is_given_up_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    hanging = Detached(gate=gate)
    writer = RecordWriter({"jsonl": JsonlTracker(0.0), "hanging": hanging}, tmp_path)
    writer.start(info(tmp_path))
    for step in range(50):
        writer.put({"environment_step": step})
    assert writer.flush(timeout=10)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 50
    writer.close(0, {})
    assert writer.failures == {"hanging": 1}
    assert "hanging: did not finish within 0.05 s" in caplog.text
    gate.set()


def test_writer_counts_errors_of_a_detached_tracker_and_logs_them_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, failing = Memory(), Detached(error=SystemExit("gone"))
    writer = RecordWriter({"own": own, "failing": failing}, tmp_path)
    writer.start(info(tmp_path))
    for step in range(10):
        writer.put({"environment_step": step})
    writer.close(0, {})
    writer.check()
    assert writer.failures == {"failing": 10}
    assert len(own.records) == 10
    assert caplog.text.count("tracking.failing: gone") == 1


def test_writer_a_full_disk_is_counted_and_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other, full = Memory(), Memory(error=OSError(28, "No space left on device"))
    writer = RecordWriter({"full": full, "other": other}, tmp_path)
    writer.start(info(tmp_path))
    for step in range(10):
        writer.put({"environment_step": step})
    writer.close(0, {})
    writer.check()
    assert writer.failures == {"full": 10}
    assert len(other.records) == 10
    assert caplog.text.count("No space left on device") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("bug"), SystemExit(3), KeyboardInterrupt()])
def test_writer_a_bug_in_a_tracker_reaches_the_launcher_and_the_others_keep_their_records(
    tmp_path: Path, error: BaseException
) -> None:
    other, broken = Memory(), Memory(error=error)
    writer = RecordWriter({"broken": broken, "other": other}, tmp_path)
    writer.start(info(tmp_path))
    writer.put({"environment_step": 1})
    writer.flush()
    with pytest.raises(type(error)):
        writer.check()
    writer.put({"environment_step": 2})
    writer.close(1, {})
    assert len(other.records) == 2
    assert other.ended == [(1, {})]


def test_writer_a_tracker_that_cannot_start_is_raised_and_those_that_did_are_finished(tmp_path: Path) -> None:
    class Wrong(Memory):
        def start(self, run: RunInfo) -> None:
            raise ValueError("no such project")

    first = Memory()
    writer = RecordWriter({"first": first, "wrong": Wrong()}, tmp_path)
    with pytest.raises(ValueError, match="no such project"):
        writer.start(info(tmp_path))
    assert first.ended == [(1, {})]


def test_writer_converts_numpy_and_torch_metrics_to_plain_numbers(tmp_path: Path) -> None:
    memory = Memory()
    writer = RecordWriter({"memory": memory}, tmp_path)
    writer.start(info(tmp_path))
    writer.put({
        "a": np.float32(0.5),
        "b": np.int64(2),
        "c": torch.tensor(1.5),
        "d": np.bool_(True),
        "e": torch.tensor([3]),
        "f": np.float64(0.1),
        "g": "text",
    })  # fmt: skip
    writer.close(0, {})
    (record,) = memory.records
    assert record == {"a": 0.5, "b": 2, "c": 1.5, "d": 1, "e": 3, "f": 0.1, "g": "text"}
    assert [type(value) for value in record.values()] == [float, int, float, int, int, float, str]


def test_writer_reports_a_metric_that_is_not_a_number(tmp_path: Path) -> None:
    writer = RecordWriter({}, tmp_path)
    writer.start(info(tmp_path))
    writer.put({"dynamics/loss": [1.0, 2.0]})
    writer.close(0, {})
    with pytest.raises(TypeError, match="'dynamics/loss' is a list"):
        writer.check()


def test_writer_pictures_are_files_before_the_trackers_see_them(tmp_path: Path) -> None:
    own, foreign = Memory(), Detached()
    writer = RecordWriter({"own": own, "foreign": foreign}, tmp_path)
    writer.start(info(tmp_path))
    writer.put_media(Picture("view", np.zeros((4, 6, 3), dtype=np.uint8)), 40)
    writer.close(0, {})
    expected = [("view", tmp_path / "media" / "view_000000040.png", 40)]
    assert own.shown == foreign.shown == expected
    assert expected[0][1].exists()


def test_writer_media_that_cannot_be_written_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "media").write_text("a file is in the way")
    memory = Memory()
    writer = RecordWriter({"memory": memory}, tmp_path)
    writer.start(info(tmp_path))
    writer.put_media(Picture("view", np.zeros((4, 6, 3), dtype=np.uint8)), 40)
    writer.put({"environment_step": 1})
    writer.close(0, {})
    writer.check()
    assert writer.failures == {"media": 1}
    assert len(memory.records) == 1
    assert "tracking.media" in caplog.text


def test_writer_trackers_are_ticked_while_nothing_happens(tmp_path: Path) -> None:
    ticked = threading.Event()

    class Ticking(Memory):
        def tick(self) -> None:
            super().tick()
            if self.ticks == 3:
                ticked.set()

    writer = RecordWriter({"ticking": Ticking()}, tmp_path, tick_seconds=0.01)
    writer.start(info(tmp_path))
    assert ticked.wait(10)
    writer.close(0, {})


def test_writer_many_threads_may_put_at_once(tmp_path: Path) -> None:
    writer = RecordWriter({"jsonl": JsonlTracker()}, tmp_path)
    writer.start(info(tmp_path))
    threads = [
        threading.Thread(target=lambda env=env: [writer.put({"env": env, "n": n}) for n in range(300)])  # type: ignore[misc]
        for env in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close(0, {})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for env in range(4):
        assert [line["n"] for line in lines if line["env"] == env] == list(range(300))


def test_writer_secrets_in_error_messages_are_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("THE_API_KEY", "marker-1234-secret")
    writer = RecordWriter({"x": Detached(error=RuntimeError("bad key marker-1234-secret"))}, tmp_path)
    writer.start(info(tmp_path))
    writer.put({"environment_step": 0})
    with caplog.at_level(logging.WARNING):
        writer.close(0, {})
    assert "bad key ***" in caplog.text
    assert "marker-1234" not in caplog.text
