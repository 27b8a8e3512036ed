"""Records of a run beside those of its replay."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pamiq_exp.media import Media
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.records import RecordStream
from pamiq_exp.tracking.writer import plain_record

Record = Mapping[str, Any]
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""How files of records write numbers that are not finite."""
CLOCK_AXES = ("wall_seconds", "run_seconds", "observation_age_seconds")
"""Axes of a record that the wall clock alone decides. So do metrics named `time/...`."""


class ComparedRecords(RecordStream):
    """Compares records with those of the run in place of writing them."""

    def __init__(self, comparison: Comparison, engine: Engine, first_step: int) -> None:
        super().__init__(None, engine.statistics)
        self._comparison, self._first_step = comparison, first_step

    def emit(
        self,
        source: str,
        metrics: Mapping[str, float],
        training_step: int,
        model_version: int | None = None,
        steps: int | None = None,
        axes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """See `RecordStream.emit`."""
        super().emit(source, metrics, training_step, model_version, steps)
        # At the step where a trace begins, the records of a resumed run are those of both of its starts.
        if metrics and int(self.latest[source]["environment_step"]) > self._first_step:
            self._comparison.take(source, self.latest[source])

    def show(self, media: Iterable[Media]) -> None:
        """Pictures and videos are made, and not kept."""


class Comparison:
    """The records of a run by source, and what of them has been made again."""

    def __init__(self, records: Iterable[Record], differs: Callable[[str], None]) -> None:
        self._waiting: dict[str, deque[dict[str, object]]] = {}
        self._differs = differs
        for record in records:
            self._waiting.setdefault(str(record.get("source")), deque()).append(_comparable(record))
        self._compares = bool(self._waiting)
        self._lacking = ""

    def take(self, source: str, record: Record) -> None:
        """Compare the next record of a source."""
        if not self._compares:
            return
        made = _comparable(plain_record(record))
        waiting = self._waiting.get(source)
        if not waiting:  # a run that was killed may have lost its last records
            self._lacking = self._lacking or f"a record of {source} at environment step {record['environment_step']}"
            return
        was = waiting.popleft()
        for name in dict.fromkeys((*was, *made)):
            if was.get(name) != made.get(name):
                at = record["environment_step"]
                self._differs(f"{name} in a record at environment step {at}: {made.get(name)}, and was {was.get(name)}")
                return

    def finish(self) -> None:
        """Nothing follows any more: the run has ended, and kept all of its records."""
        if self._lacking:
            self._differs(f"{self._lacking}, which the run lacks")
        for source, waiting in self._waiting.items():
            if waiting:
                self._differs(f"{len(waiting)} records of {source} were not made again")


def _comparable(record: Record) -> dict[str, object]:
    """Return what of a record does not depend on the wall clock, in the form in which files hold it."""
    return {
        name: repr(float(value)) if isinstance(value, (int, float)) or value in NOT_FINITE else value
        for name, value in record.items()
        if name not in CLOCK_AXES and "/time/" not in name
    }
