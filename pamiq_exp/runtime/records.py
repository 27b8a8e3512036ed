"""Records: rows of metrics that all have the same axes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pamiq_exp.media import Media
from pamiq_exp.runtime.statistics import RunStatistics
from pamiq_exp.tracking import RecordWriter


class RecordStream:
    """Adds the axes to metrics and hands them to the writer's thread. Any thread may emit.

    Without a writer (a launch without a run folder) only the newest of each source are kept.

    Attributes:
        latest: The newest record of each source.
    """

    def __init__(self, writer: RecordWriter | None, statistics: RunStatistics) -> None:
        self.latest: dict[str, dict[str, float | int | str]] = {}
        self._by_actor: dict[str, dict[int | None, dict[str, float | int | str]]] = {}
        self._writer = writer
        self._statistics = statistics

    @property
    def error(self) -> BaseException | None:
        """The first error of a tracker of this package, if there was one."""
        return self._writer.error if self._writer is not None else None

    def emit(
        self,
        source: str,
        metrics: Mapping[str, float],
        training_step: int,
        model_version: int | None = None,
        steps: int | None = None,
        axes: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Write one record: `metrics` are named `<source>/<name>` in it. Without metrics there is no record.

        Environment step and model version are those of this moment by default; `axes` are further ones.
        """
        if not metrics:
            return
        statistics = self._statistics
        record: dict[str, float | int | str] = {
            "source": source,
            "environment_step": statistics.steps if steps is None else steps,
            "wall_seconds": statistics.wall_seconds,
            "run_seconds": statistics.run_seconds,
            "model_version": statistics.model_version if model_version is None else model_version,
            "training_step": training_step,
            "observation_age_seconds": statistics.observation_age_seconds,
            **axes,
        }
        for name, value in metrics.items():
            record[f"{source}/{name}"] = value
        self.latest[source] = record
        self._by_actor.setdefault(source, {})[axes.get("actor")] = record
        if self._writer is not None:
            self._writer.put(record)

    def newest_value(self, source: str, name: str) -> float:
        """Return the newest value of a metric: with several actors, the mean of theirs; NaN before there is one."""
        values = [record.get(f"{source}/{name}") for record in list(self._by_actor.get(source, {}).values())]
        numbers = [float(value) for value in values if isinstance(value, (int, float))]
        return sum(numbers) / len(numbers) if numbers else math.nan

    def show(self, media: Iterable[Media]) -> None:
        """Hand pictures and videos to the writer."""
        if self._writer is not None:
            for item in media:
                self._writer.put_media(item, self._statistics.steps)


class Means:
    """Running means of named metrics."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, metrics: Mapping[str, float]) -> None:
        """Count one set of metrics; a name may be missing in some of them."""
        for name, value in metrics.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def result(self) -> dict[str, float]:
        """Return the means so far."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}
