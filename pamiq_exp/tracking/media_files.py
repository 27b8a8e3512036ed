"""Pictures and videos as files."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.media import Media, Picture
from pamiq_exp.tracking.files import write_atomically


def write_media(item: Media, folder: Path, environment_step: int) -> Path:
    """Write a picture as PNG or a video as MP4 (H.264) and return where it lies.

    Raises:
        OSError: The folder cannot be written.
        ValueError: The pixels are not `(..., height, width, 3)` uint8, or there are none.
    """
    pixels = item.pixels if isinstance(item, Picture) else item.frames
    dimensions = 3 if isinstance(item, Picture) else 4
    if pixels.ndim != dimensions or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        expected = "(height, width, 3)" if dimensions == 3 else "(time, height, width, 3)"
        raise ValueError(f"'{item.name}' must be {expected} uint8 and not empty, not {pixels.shape} {pixels.dtype}")
    path = folder / f"{file_name(item.name)}_{environment_step:09d}.{'png' if dimensions == 3 else 'mp4'}"
    encoded = _png(item.pixels) if isinstance(item, Picture) else _mp4(item.frames, item.frames_per_second)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encoded)
    return path


def file_name(name: str) -> str:
    """Turn the name of a figure or film into a file name: no folders, no blanks."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "media"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _mp4(frames: NDArray[np.uint8], frames_per_second: float) -> bytes:
    try:
        import av
    except ImportError as error:
        raise ModuleNotFoundError("videos need the package av: install it with `pip install av`") from error

    # H.264 in yuv420p, which every browser plays, halves the colour planes: sizes must be even.
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
