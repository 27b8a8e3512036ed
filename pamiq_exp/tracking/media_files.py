"""Pictures and videos as files."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.extras import install_hint
from pamiq_exp.files import write_atomically
from pamiq_exp.media import Media, Picture, Recording

_SHOWN = ("libx264", "yuv420p", {"crf": "18"})
_KEPT = ("libx264", "yuv444p", {"crf": "12"})
_EXACT = ("libx264rgb", "rgb24", {"qp": "0"})
"""Codec, pixel format and quality of videos: for people (every browser plays them), and for machines."""


def write_media(item: Media, folder: Path, environment_step: int) -> Path:
    """Write a picture as PNG, a video as MP4 (H.264) or a recording as both and JSONL; return where it lies.

    Raises:
        OSError: The folder cannot be written.
        ValueError: The pixels are not `(..., height, width, 3)` uint8, or there are none.
    """
    if isinstance(item, Recording):
        return _write_recording(item, folder)
    pixels = item.pixels if isinstance(item, Picture) else item.frames
    dimensions = 3 if isinstance(item, Picture) else 4
    if pixels.ndim != dimensions or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        expected = "(height, width, 3)" if dimensions == 3 else "(time, height, width, 3)"
        raise ValueError(f"'{item.name}' must be {expected} uint8 and not empty, not {pixels.shape} {pixels.dtype}")
    path = folder / f"{file_name(item.name)}_{environment_step:09d}.{'png' if dimensions == 3 else 'mp4'}"
    encoded = _png(item.pixels) if isinstance(item, Picture) else _mp4(item.frames, item.frames_per_second, *_SHOWN)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encoded)
    return path


def file_name(name: str) -> str:
    """Turn the name of a picture or video into a file name: no folders, no blanks."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "media"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _write_recording(item: Recording, folder: Path) -> Path:
    """Write one video for each kind of picture, environments one below the other, then everything else as JSONL.

    The JSONL comes last: where it is, the videos are whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{file_name(item.name)}_{item.first_step:09d}"
    for name in item.pictures:
        frames = np.stack([turn[name] for turn in item.turns])
        frames = np.repeat(frames, 3 // frames.shape[-1], axis=-1)
        time, num_envs, height, width, _ = frames.shape
        tall = frames.reshape(time, num_envs * height, width, 3)
        encoded = _mp4(tall, item.frames_per_second, *(_EXACT if item.lossless else _KEPT))
        write_atomically(folder / f"{stem}_{file_name(name)}.mp4", encoded)
    lines = [json.dumps(dict(item.header))]
    for number, turn in enumerate(item.turns):
        num_envs = len(next(iter(turn.values())))
        row = {name: value.tolist() for name, value in turn.items() if name not in item.pictures}
        lines.append(json.dumps({"step": item.first_step + number * num_envs} | row))
    path = folder / f"{stem}.jsonl"
    write_atomically(path, "\n".join(lines) + "\n")
    return path


def _mp4(
    frames: NDArray[np.uint8], frames_per_second: float, codec: str, pixel_format: str, quality: Mapping[str, str]
) -> bytes:
    try:
        import av
    except ImportError as error:
        raise ModuleNotFoundError(f"videos need the package av: {install_hint('av')}") from error

    # H.264 in yuv420p, which every browser plays, halves the color planes: sizes must be even.
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=Fraction(frames_per_second).limit_denominator(1000))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.options = {"preset": "veryfast", "threads": "1", **quality}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()
