"""Frames of video files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]

_ONLY_THIS_FILE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,avi,mpeg,mpegts,mpegvideo,ogg,gif",
}


class VideoReader:
    """The frames of a video by their numbers; reading them in order costs no more than decoding them once.

    Args:
        path: A video of the usual kinds (MP4, Matroska, WebM, AVI, MPEG, Ogg) or an animated GIF.

    Raises:
        ValueError: The file is no video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container: av.container.InputContainer | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._next = 0
        self._open()

    def frame(self, number: int) -> Frame | None:
        """Return frame `number`, `(height, width, 3)`, or None if the video is shorter."""
        if number < self._next:
            self._open()
        found = None
        while self._next <= number:
            found = next(self._frames, None)
            if found is None:
                return None
            self._next += 1
        assert found is not None
        return found.to_ndarray(format="rgb24").astype(np.uint8, copy=False)

    def close(self) -> None:
        """Let the file go."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _open(self) -> None:
        self.close()
        try:
            # A file may name others, or addresses, whatever its ending: FFmpeg goes by its beginning.
            container = av.open(str(self.path.absolute()), options=_ONLY_THIS_FILE)
            stream = container.streams.video[0]
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(f"{self.path} is no video that can be read: {error}") from error
        stream.thread_type = "NONE"
        self._container, self._frames, self._next = container, container.decode(stream), 0


def fitted(frame: Frame, size: int) -> Frame:
    """Cut a frame to a centered square and resize it to `(size, size, 3)`: area means when it shrinks."""
    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    square = frame[top : top + side, left : left + side]
    if side == size:
        return square.copy()
    method = Image.Resampling.BOX if side > size else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(square).resize((size, size), method))
