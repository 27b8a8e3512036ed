"""Taking frames from a camera as they come."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

logger = logging.getLogger(__name__)

DEVICES = Path("/sys/class/video4linux")
FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_OPENING = threading.Lock()


@dataclass(frozen=True)
class Captured:
    """One frame: `pixels` is `(height, width, 3)` in blue, green, red; `at` is of `time.perf_counter`."""

    pixels: Frame
    number: int
    at: float


@dataclass(frozen=True)
class CaptureSettings:
    """What a camera is asked for; None leaves it to the camera."""

    width: int | None = None
    height: int | None = None
    frames_per_second: float | None = None
    most_failures: int = 10
    patience: float = 10.0


class Capture:
    """Reads a camera on a thread of its own and keeps only the newest frame.

    OpenCV queues frames: a reader that is slower than the camera sees old ones. This thread reads all of them.
    A video file plays at its own rate, again and again.

    Args:
        source: Number of a device, its name, the path of a device or of a video file, or the URL of a stream.
        settings: What is asked of it.
    """

    def __init__(self, source: int | str, settings: CaptureSettings) -> None:
        self._source, self._settings = source, settings
        self._condition = threading.Condition()
        self._newest: Captured | None = None
        self._error: OSError | None = None
        self._count = 0
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Open the camera and begin to read.

        Raises:
            OSError: It cannot be opened.
        """
        if self._thread is not None:
            return
        device = self._open()
        self._ending.clear()
        self._newest, self._error = None, None
        self._thread = threading.Thread(target=self._run, args=(device,), name="camera", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and let the camera go."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._ending.set()
            thread.join(self._settings.patience)

    def newest(self) -> Captured:
        """Return the newest frame; only the first after `start` is waited for.

        Raises:
            OSError: The camera gives no frames (any more).
        """
        with self._condition:
            if self._newest is None:
                self._condition.wait_for(lambda: self._newest or self._error, self._settings.patience)
            if self._error is not None:
                raise self._error
            if self._newest is None:
                raise OSError(f"the camera {self._source!r} gave no frame within {self._settings.patience:g} s")
            return self._newest

    def _open(self) -> cv2.VideoCapture:
        device = open_device(find_source(self._source), self._settings.patience)
        if not device.isOpened():
            raise OSError(
                f"the camera {self._source!r} cannot be opened. Is it switched on, and not in use by another program? "
                f"{_devices_there_are()}"
            )
        wanted = {
            cv2.CAP_PROP_FRAME_WIDTH: self._settings.width,
            cv2.CAP_PROP_FRAME_HEIGHT: self._settings.height,
            cv2.CAP_PROP_FPS: self._settings.frames_per_second,
        }
        for name, value in wanted.items():
            if value is not None and not (device.set(name, value) and device.get(name) == value):
                logger.warning("camera %r: asked for %g, it gives %g", self._source, value, device.get(name))
        return device

    def _run(self, device: cv2.VideoCapture) -> None:
        failures = 0
        plays = _is_file(self._source)
        interval = 1.0 / (device.get(cv2.CAP_PROP_FPS) or 30.0) if plays else 0.0
        due = time.monotonic()
        try:
            while not self._ending.is_set():
                read, pixels = device.read()
                if read:
                    failures = 0
                    self._take(np.asarray(pixels, dtype=np.uint8))
                elif plays and failures == 0:
                    device.set(cv2.CAP_PROP_POS_FRAMES, 0)
                    failures += 1
                    continue
                else:
                    failures += 1
                    if failures >= self._settings.most_failures:
                        raise OSError(f"the camera {self._source!r} failed {failures} times in a row")
                due = max(due + interval, time.monotonic()) if plays else time.monotonic()
                self._ending.wait(max(due - time.monotonic(), 0.0) if read else 0.02)
        except (OSError, cv2.error) as error:
            with self._condition:
                self._error = error if isinstance(error, OSError) else OSError(str(error))
                self._condition.notify_all()
        finally:
            device.release()

    def _take(self, pixels: Frame) -> None:
        with self._condition:
            self._count += 1
            self._newest = Captured(pixels, self._count, time.perf_counter())
            self._condition.notify_all()


def find_source(source: int | str) -> int | str:
    """Turn the name of a device into its number; everything else stays what it is.

    Raises:
        OSError: There is no such device, file or stream.
    """
    if isinstance(source, int) or "://" in source or Path(source).exists():
        return source
    for path in sorted(DEVICES.glob("video*/name")):
        if path.read_text("utf-8", "replace").strip().lower() == source.lower():
            return int(path.parent.name.removeprefix("video"))
    raise OSError(f"there is no camera, video file or stream {source!r}. {_devices_there_are()}")


def open_device(source: int | str, patience: float) -> cv2.VideoCapture:
    """Open a device, file or stream; streams are given up after `patience` seconds."""
    if isinstance(source, str) and "://" in source:
        milliseconds = int(1000 * patience)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
        return cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    if isinstance(source, int) or not _is_file(source):
        return cv2.VideoCapture(source)
    with _OPENING, _ffmpeg_reads_files_alone():
        return cv2.VideoCapture(str(Path(source).resolve()), cv2.CAP_FFMPEG)


@contextmanager
def _ffmpeg_reads_files_alone() -> Iterator[None]:
    """Keep FFmpeg from following what a file names: a playlist may name streams anywhere."""
    before = os.environ.get(FFMPEG_OPTIONS)
    os.environ[FFMPEG_OPTIONS] = "protocol_whitelist;file"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FFMPEG_OPTIONS]
        else:
            os.environ[FFMPEG_OPTIONS] = before


def _is_file(source: int | str) -> bool:
    return isinstance(source, str) and Path(source).is_file()


def _devices_there_are() -> str:
    names = [
        f"{path.parent.name.removeprefix('video')}: {path.read_text('utf-8', 'replace').strip()}"
        for path in _device_names()
    ]
    return f"Devices: {', '.join(names)}" if names else "Give the number of a device, a file or the URL of a stream."


def _device_names() -> list[Path]:
    return sorted(DEVICES.glob("video*/name"))
