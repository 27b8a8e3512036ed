"""Records on their way from the threads that make them to the trackers."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pamiq_exp.media import Media, Recording
from pamiq_exp.run_folder.records import Value
from pamiq_exp.run_folder.secrets import mask_text
from pamiq_exp.tracking.media_files import write_media
from pamiq_exp.tracking.queue_thread import QueueThread
from pamiq_exp.tracking.tracker import RunInfo, Tracker

_log = logging.getLogger(__name__)


_HARMLESS = (OSError, ImportError, UnicodeEncodeError)
"""What a machine lacks (room, a package, a character of the terminal) is no bug of a tracker."""


@dataclass(frozen=True)
class _MediaFile:
    item: Media
    path: Path
    environment_step: int


@dataclass(frozen=True)
class _End:
    exit_code: int
    summary: Mapping[str, Value]


_Item: TypeAlias = "Mapping[str, Any] | _MediaFile | _End"


class RecordWriter:
    """Hands records, pictures and videos to the trackers on threads of its own.

    `put` and `put_media` only append to a queue: they never wait, whatever a tracker does. One thread
    serves our own trackers, one encodes videos, and each detached tracker (see `Tracker.detached`) has one
    to itself.

    Failures are counted in `failures` by tracker, and logged once each. A bug in a tracker of ours is kept
    in `error`; the run ends with it at the next `check`.

    Args:
        trackers: Trackers by name.
        folder: The run folder; media go to `media/` in it, recordings to `recordings/`.
        tick_seconds: How often the queues are looked into, and trackers may flush and redraw.
        large: Queue length from which a warning is logged.
        hold: Called at each look into the queue and before media are written: sees that the folder is still there.
    """

    def __init__(
        self,
        trackers: Mapping[str, Tracker],
        folder: Path,
        tick_seconds: float = 0.5,
        large: int = 10_000,
        hold: Callable[[], None] = lambda: None,
    ) -> None:
        self.trackers = dict(trackers)
        self.failures: Counter[str] = Counter()
        """Failed operations by tracker name (`media` for files of pictures and videos)."""
        self.failed_writes = 0
        """Failed operations of all trackers together. Read by other threads, which take no lock."""
        self.error: BaseException | None = None
        """The first bug in a tracker that is not detached."""
        self._folder = folder
        self._hold = hold
        self._failures_lock = threading.Lock()
        own = {name: tracker for name, tracker in self.trackers.items() if not tracker.detached}
        self._detached: dict[str, QueueThread[_Item]] = {
            name: self._queue_thread(f"tracking-{name}", {name: tracker}, tick_seconds, large)
            for name, tracker in self.trackers.items()
            if tracker.detached
        }
        self._records = self._queue_thread("tracking", own, tick_seconds, large, tuple(self._detached.values()), hold)
        self._media: QueueThread[tuple[Media, int]] = QueueThread("tracking-media", self._write_media, large=1_000)
        self._threads: tuple[QueueThread[Any], ...] = (self._media, self._records, *self._detached.values())
        self.put: Callable[[Mapping[str, Any]], None] = self._records.put
        """Take a record. The mapping must not change afterwards; values may be numpy or torch scalars."""

    def _queue_thread(
        self, name: str, trackers: Mapping[str, Tracker], tick_seconds: float, large: int,
        followers: tuple[QueueThread[_Item], ...] = (), hold: Callable[[], None] = lambda: None,
    ) -> QueueThread[_Item]:  # fmt: skip
        def handle(item: _Item) -> None:
            plain = item if isinstance(item, (_MediaFile, _End)) else self._guard("tracking", plain_record, item)
            if plain is None:
                return
            if not isinstance(plain, _End):
                for follower in followers:
                    follower.put(plain)
            for tracker_name, tracker in trackers.items():
                self._guard(tracker_name, _deliver, tracker, plain)

        def tick() -> None:
            self._guard("folder", hold)
            for tracker_name, tracker in trackers.items():
                self._guard(tracker_name, tracker.tick)

        return QueueThread(name, handle, tick, tick_seconds, large)

    def start(self, run: RunInfo) -> None:
        """Start the trackers and the threads. What a tracker raises here is for the user to fix, and is raised."""
        started: list[str] = []
        try:
            for name, tracker in self.trackers.items():
                tracker.start(run)
                started.append(name)
        except BaseException:
            for name in started:
                self._guard(name, self.trackers[name].finish, 1, {})
            raise
        for thread in self._threads:
            thread.start()

    def put_media(self, item: Media, environment_step: int) -> None:
        """Take a picture, video or recording: pictures and videos go to `media/` and are shown to the trackers."""
        self._media.put((item, environment_step))

    @property
    def queue_depth(self) -> int:
        """Records and media that wait to be written."""
        return sum(thread.depth for thread in self._threads)

    def check(self) -> None:
        """Raise the first bug of a tracker, if there was one."""
        if self.error is not None:
            raise self.error

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was put is in the run folder; False if that takes longer than `timeout` seconds.

        Detached trackers are not waited for.
        """
        return self._media.flush(timeout) and self._records.flush(timeout)

    def close(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        """Write what is left, finish all trackers and end the threads. Never raises: see `check`.

        A detached tracker that does not finish in its `finish_seconds` is given up and counted.
        """
        end = _End(exit_code, dict(summary))
        self._media.stop()
        # Detached trackers start to finish first, and do so while ours write their last lines.
        self._records.flush()
        for thread in self._detached.values():
            thread.put(end)
        self._records.put(end)
        self._records.stop()
        started = time.monotonic()
        for name, thread in self._detached.items():
            patience = self.trackers[name].finish_seconds
            if not thread.stop(max(0.0, started + patience - time.monotonic())):
                self._count(name, TimeoutError(f"did not finish within {patience:g} s ({thread.depth} items left)"))
                self._guard(name, self.trackers[name].give_up)

    def _write_media(self, entry: tuple[Media, int]) -> None:
        item, environment_step = entry
        recording = isinstance(item, Recording)
        folder = self._folder / ("recordings" if recording else "media")

        def write() -> Path:
            self._hold()
            return write_media(item, folder, environment_step)

        path = self._guard("media", write)
        if path is not None and not recording:
            self._records.put(_MediaFile(item, path, environment_step))

    def _guard(self, name: str, call: Callable[..., Any], *arguments: object) -> Any:
        """Call on behalf of the tracker `name`; its failures are counted and, where they are bugs, kept."""
        try:
            return call(*arguments)
        except BaseException as error:
            self._count(name, error)
            tracker = self.trackers.get(name)
            harmless = isinstance(error, _HARMLESS) or (tracker is not None and tracker.detached)
            if not harmless and self.error is None:
                self.error = error
        return None

    def _count(self, name: str, error: BaseException) -> None:
        with self._failures_lock:
            self.failures[name] += 1
            self.failed_writes += 1
            first = self.failures[name] == 1
        if first:
            text = mask_text(str(error) or type(error).__name__)
            _log.warning("tracking.%s: %s. The run goes on; further failures are only counted.", name, text)


def _deliver(tracker: Tracker, item: _Item) -> None:
    if isinstance(item, _MediaFile):
        tracker.media(item.item, item.path, item.environment_step)
    elif isinstance(item, _End):
        tracker.finish(item.exit_code, item.summary)
    else:
        tracker.write(item)


def plain_record(record: Mapping[str, object]) -> dict[str, Value]:
    """Turn the values of a record into Python numbers and strings.

    Raises:
        TypeError: A value is neither a number nor a string; the message names it.
    """
    return {name: _plain(name, value) for name, value in record.items()}


def _plain(name: str, value: object) -> Value:
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    item = getattr(value, "item", None)  # numpy scalars and one-element arrays and tensors
    if not callable(item):
        raise TypeError(f"the metric '{name}' is a {type(value).__name__}; records hold numbers and strings")
    return _plain(name, item())
