"""The camera as a sensor."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.camera.capture import Capture, CaptureSettings
from pamiq_exp.environments.modular import Sensor
from pamiq_exp.interaction import Array


class Camera(Sensor):
    """Shows the newest frame of a camera: OBS's virtual one, a webcam, a video file, a stream.

    Frames are cut to a centered square, or whatever shape is asked for, and resized. The camera is read on a thread
    of its own, and let go while the run pauses. It reports `repeated_frames`, which were read twice, and
    `skipped_frames`, which never were.

    Args:
        source: Number of a device, its name (Linux), the path of a device or a video file, or the URL of a stream.
        image_size: Pixels a side of what is shown, or `[height, width]`.
        width, height, frames_per_second: What the camera is asked for; it warns where the camera has its own will.
        most_failures: Failed reads in a row after which the camera is given up.
        patience: Seconds to wait for its first frame.

    `setup` raises OSError when the camera cannot be opened, `read` when it gives no frames any more.
    """

    def __init__(
        self,
        source: int | str = "OBS Virtual Camera",
        image_size: int | Sequence[int] = 84,
        width: int | None = None,
        height: int | None = None,
        frames_per_second: float | None = None,
        most_failures: int = 10,
        patience: float = 10.0,
    ) -> None:
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"image_size must be one number or [height, width], not {image_size}")
        self._size = (int(size[0]), int(size[1]))
        self.space = gymnasium.spaces.Box(0, 255, (*self._size, 3), np.uint8)
        self._capture = Capture(source, CaptureSettings(width, height, frames_per_second, most_failures, patience))
        self._last = 0
        self.repeated_frames = 0
        """Readings that showed a frame again."""
        self.skipped_frames = 0
        """Frames that were never read."""

    def setup(self) -> None:
        """Open the camera and wait for its first frame."""
        self._capture.start()
        self._last = self._capture.newest().number

    def teardown(self) -> None:
        """Let the camera go."""
        self._capture.stop()

    def on_pause(self) -> None:
        """Let the camera go for the time of the pause."""
        self._capture.stop()

    def on_resume(self) -> None:
        """Open the camera again."""
        self._capture.start()
        self._last = self._capture.newest().number

    def read(self) -> Array:
        """See `Sensor`."""
        frame = self._capture.newest()
        new = frame.number - self._last
        self._last = frame.number
        self.repeated_frames += new == 0
        self.skipped_frames += max(new - 1, 0)
        self.observed_at = frame.at
        return cover(frame.pixels, self._size)[..., ::-1].copy()

    def report(self) -> dict[str, float]:
        """See `Sensor`."""
        return {"repeated_frames": self.repeated_frames, "skipped_frames": self.skipped_frames}


def cover(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a picture to `size` (height, width), after cutting off at both ends what would not fit its shape."""
    height, width = pixels.shape[:2]
    scale = min(height / size[0], width / size[1])
    rows, columns = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    cut = pixels[top : top + rows, left : left + columns]
    if cut.shape[:2] == size:
        return cut
    shrinks = rows >= size[0]
    resized = cv2.resize(cut, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.uint8)
