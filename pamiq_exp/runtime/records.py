"""Records: rows of figures that all carry the same axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pamiq_exp.media import Media
from pamiq_exp.runtime.clock import Clock
from pamiq_exp.runtime.publication import Publisher
from pamiq_exp.tracking import RecordWriter


class RecordStream:
    """Adds the axes to figures and hands them to the writer's thread. Any thread may emit.

    Without a writer (a launch without a run folder) only the newest of each source are kept.

    Attributes:
        environment_step: Environment steps taken; the inference loop keeps it.
        observation_age: How old the newest observation was when the action that answers it took effect, in seconds
            of run time; the inference loop keeps it.
        latest: The newest record of each source.
    """

    def __init__(self, writer: RecordWriter | None, clock: Clock, publisher: Publisher) -> None:
        self.environment_step = 0
        self.observation_age = 0.0
        self.latest: dict[str, dict[str, float | int | str]] = {}
        self._writer = writer
        self._clock = clock
        self._publisher = publisher

    @property
    def error(self) -> BaseException | None:
        """What went wrong in a tracker of ours, if anything did."""
        return self._writer.error if self._writer is not None else None

    @property
    def waiting(self) -> int:
        """Records that are still to be written."""
        return self._writer.queue_depth if self._writer is not None else 0

    @property
    def failed(self) -> int:
        """What trackers could not write."""
        return self._writer.failed_writes if self._writer is not None else 0

    def emit(self, source: str, figures: Mapping[str, float], training_step: int) -> None:
        """Write one record: `figures` are named `<source>/<name>` in it. Nothing to say, no record."""
        if not figures:
            return
        record: dict[str, float | int | str] = {
            "source": source,
            "environment_step": self.environment_step,
            "wall_seconds": self._clock.wall_seconds,
            "run_seconds": self._clock.run_seconds,
            "model_version": self._publisher.version,
            "training_step": training_step,
            "observation_age_seconds": self.observation_age,
        }
        for name, value in figures.items():
            record[f"{source}/{name}"] = value
        self.latest[source] = record
        if self._writer is not None:
            self._writer.put(record)

    def show(self, media: Iterable[Media]) -> None:
        """Hand pictures and videos to the writer."""
        if self._writer is not None:
            for item in media:
                self._writer.put_media(item, self.environment_step)


class Means:
    """Running means of named figures."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, figures: Mapping[str, float]) -> None:
        """Count one set of figures; a name may be missing in some of them."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def result(self) -> dict[str, float]:
        """Return the means so far."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}
