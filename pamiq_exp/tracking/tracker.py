"""Base class of trackers, and what they get to know of the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pamiq_exp.media import Media
from pamiq_exp.run_folder.records import Record, Value


@dataclass(frozen=True)
class RunInfo:
    """What trackers know of a run before its first record.

    Attributes:
        folder: The run folder.
        name: A short name of this run, unique within its group.
        experiment_name: Which experiment it is one run of.
        seed: The root seed.
        group: The sweep that the run belongs to, if any.
        tags: Words to find the run by.
        config: The resolved config, secrets already masked.
        mode: The launcher's mode.
        max_steps: Environment steps after which the run ends by itself, if that was asked for.
        max_seconds: Wall-clock seconds after which the run ends by itself, if that was asked for.
        resumed_step: Environment step of the checkpoint from which the run goes on; None for a new run.
        private: Observations are the user's own: frames of a camera, pictures or videos.
    """

    folder: Path
    name: str
    experiment_name: str
    seed: int
    group: str | None = None
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    mode: str | None = None
    max_steps: int | None = None
    max_seconds: float | None = None
    resumed_step: int | None = None
    private: bool = False


class Tracker(ABC):
    """Base class of everything that records go to.

    `start` runs on the thread that launches; all else runs on the writer's thread, never on the one that
    acts. An OSError (a full disk) is counted and logged, and the run goes on; any other exception is a bug
    and stops the run, unless the tracker is `detached`.
    """

    detached: bool = False
    """A detached tracker uses code or machines that are not part of this package. It has a thread of its own,
    so its slowness delays nothing else, and none of its exceptions reaches the run: each is counted and logged."""

    finish_seconds: float = 30.0
    """How long the end of the run waits for a detached tracker to finish."""

    def start(self, run: RunInfo) -> None:
        """Called once, before the first record. Raise here what the user has to fix."""

    @abstractmethod
    def write(self, record: Record) -> None:
        """Take one record of plain numbers and strings."""

    def media(self, item: Media, path: Path, environment_step: int) -> None:
        """Take a picture or video, which already lies at `path`."""

    def tick(self) -> None:
        """Called about twice a second, also when nothing was written: flush, redraw."""

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        """Called once, after the last record, with the final metrics."""

    def give_up(self) -> None:
        """Called when a detached tracker did not finish in time: free what would keep the process from ending."""
