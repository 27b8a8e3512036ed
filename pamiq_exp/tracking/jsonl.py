"""The record that every run keeps: `metrics.jsonl`."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pamiq_exp.files import write_atomically
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.append_file import AppendFile
from pamiq_exp.run_folder.records import AXES, Record, Value
from pamiq_exp.tracking.tracker import RunInfo, Tracker

_log = logging.getLogger(__name__)


class JsonlTracker(Tracker):
    """Writes one record a line to `metrics.jsonl` in the run folder.

    A line is a flat JSON object: the axes first, then the metrics in alphabetical order, so that equal
    runs give equal files. JSON has no word for numbers that are not finite: they are written as the
    strings `"NaN"`, `"Infinity"` and `"-Infinity"`, which `float()` reads back.

    What cannot be written (a full disk) is kept and tried again, so that nothing is missing if there is
    room later. A run that goes on from a checkpoint goes on with the same file, less the records that lie
    beyond the checkpoint: the run is about to take these steps again.

    A file that is moved or removed during the run is written again, with everything in it, and that counts as a failed
    write.

    Args:
        flush_seconds: How long a record may wait in memory before it is on the disk.
        hold: See `AppendFile`.
    """

    def __init__(self, flush_seconds: float = 1.0, hold: Callable[[], None] = lambda: None) -> None:
        self.flush_seconds = flush_seconds
        self._hold = hold
        self._pending = bytearray()
        self._file: AppendFile | None = None
        self._flushed_at = 0.0
        self._path = Path(file_names.METRICS)

    def start(self, run: RunInfo) -> None:
        self._path = run.folder / file_names.METRICS
        if self._path.exists():
            _repair(self._path, run.resumed_step)
        self._file = AppendFile(self._path, self._hold)
        self._flushed_at = time.monotonic()

    def write(self, record: Record) -> None:
        self._pending += to_line(record).encode()
        self._flush_if_due()

    def tick(self) -> None:
        self._flush_if_due()

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            self._flush(file)
            file.sync()
        except OSError as error:
            if lost := self._pending.count(b"\n"):
                _log.error("%d records could not be written to %s: %s", lost, self._path, error)
            raise
        finally:
            file.close()

    def _flush_if_due(self) -> None:
        now = time.monotonic()
        if self._pending and now - self._flushed_at >= self.flush_seconds:
            self._flushed_at = now
            if self._file is None:
                raise RuntimeError("the tracker of metrics.jsonl was not started")
            self._flush(self._file)

    def _flush(self, file: AppendFile) -> None:
        happened = file.look()
        while self._pending:
            del self._pending[: file.write(self._pending)]
        if happened is not None:
            raise OSError(happened)


def to_line(record: Record) -> str:
    """Return the line of `metrics.jsonl` for one record, with its newline."""
    names = [name for name in AXES if name in record] + sorted(record.keys() - set(AXES))
    return json.dumps({name: _finite(record[name]) for name in names}, allow_nan=False) + "\n"


def _finite(value: Value) -> Value:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _repair(path: Path, resumed_step: int | None) -> None:
    """Drop a line that a crash cut in two, and, after a resume, what lies beyond the checkpoint."""
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if _belongs(line, resumed_step)]
    if len(kept) < len(lines):
        _log.info(
            "%s: dropped %d of %d records of steps that are taken again", path, len(lines) - len(kept), len(lines)
        )
        write_atomically(path, b"".join(kept))


def _belongs(line: bytes, resumed_step: int | None) -> bool:
    try:
        record = json.loads(line)
    except ValueError:
        return False
    if not line.endswith(b"\n"):
        return False
    return resumed_step is None or record.get("environment_step", 0) <= resumed_step
