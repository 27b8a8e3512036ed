"""The statistics of a run itself (speed, losses of data, failures): their names, and where each of them is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["summary", "records", "status"]


@dataclass(frozen=True)
class Statistic:
    """One number that describes how a run goes, whatever its experiment.

    Attributes:
        name: Its key in `summary.json` and in the status of a live run; in records `interaction/time/<name>`.
        label: What it is called for people.
        unit: `ms`, `s`, `bytes`, `load` or nothing.
        places: Where it is found.
        alarming: Whether anything above 0 is a loss.
    """

    name: str
    label: str
    places: tuple[Place, ...]
    unit: str = ""
    alarming: bool = False


_ALL: tuple[Place, ...] = ("summary", "records", "status")
_KEPT: tuple[Place, ...] = ("summary", "records")
_SHOWN: tuple[Place, ...] = ("summary", "status")
_LIVE: tuple[Place, ...] = ("records", "status")

_TABLE = (
    Statistic("steps", "steps", _SHOWN),
    Statistic("turns", "turns", ("summary",)),
    Statistic("run_seconds", "run time", ("status",), "s"),
    Statistic("wall_seconds", "time", _SHOWN, "s"),
    Statistic("steps_per_second", "steps per second", _SHOWN),
    Statistic("training_steps", "training steps", _SHOWN),
    Statistic("training_steps_per_second", "training steps per second", ("status",)),
    Statistic("deadline_misses", "deadline misses", _ALL, alarming=True),
    Statistic("dropped", "dropped steps", _ALL, alarming=True),
    Statistic("restarts", "restarts of actors", _ALL, alarming=True),
    Statistic("pending", "steps waiting", ("status",)),
    Statistic("skipped_actions", "skipped actions", ("summary",)),
    Statistic("model_version", "model version", _SHOWN),
    Statistic("model_age_seconds", "age of the models", _LIVE, "s"),
    Statistic("step_milliseconds_p50", "turn, p50", _ALL, "ms"),
    Statistic("step_milliseconds_p99", "turn, p99", _ALL, "ms"),
    Statistic("step_milliseconds_p999", "turn, p99.9", ("summary",), "ms"),
    Statistic("step_milliseconds_max", "turn, longest", ("summary",), "ms"),
    Statistic("lateness_milliseconds_p99", "lateness, p99", _KEPT, "ms"),
    Statistic("lateness_milliseconds_max", "lateness, longest", ("summary",), "ms"),
    Statistic("observation_age_seconds", "observation age, newest", _SHOWN, "s"),
    Statistic("observation_age_milliseconds_p50", "observation age, p50", _KEPT, "ms"),
    Statistic("observation_age_milliseconds_p99", "observation age, p99", _KEPT, "ms"),
    Statistic("skipped_turns", "skipped turns", ("summary",)),
    Statistic("records_waiting", "records waiting", _LIVE),
    Statistic("failed_saves", "failed saves", ("summary",), alarming=True),
    Statistic("failed_writes", "failed writes", _ALL, alarming=True),
    Statistic("memory_bytes", "memory of the process", ("status",), "bytes"),
    Statistic("load", "load of the machine", ("status",)),
)

STATISTICS = {statistic.name: statistic for statistic in _TABLE}
"""All statistics by name, in the order in which they are written."""


def statistics_in(place: Place) -> tuple[str, ...]:
    """Return the names of the statistics in one place."""
    return tuple(name for name, statistic in STATISTICS.items() if place in statistic.places)
