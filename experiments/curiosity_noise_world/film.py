"""Put the last films of several runs side by side.

    python experiments/curiosity_noise_world/film.py LABEL=RUN... -o results/NAME/film.mp4

The runs recorded films of equal size (`tracking=video`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Frames = NDArray[np.uint8]
HEADING, SHRINK, RATE = 14, 2, 10


def read_film(run: Path) -> Frames:
    """Return the newest film of a run, `(time, height, width, 3)`, at half its size."""
    path = sorted((run / "media").glob("*.mp4"))[-1]
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False) for frame in container.decode(video=0)]
    return np.stack(frames)[:, ::SHRINK, ::SHRINK]


def labeled(film: Frames, label: str) -> Frames:
    """Return a film below its name."""
    head = Image.new("RGB", (film.shape[2], HEADING), "white")
    ImageDraw.Draw(head).text((3, 1), label, fill="black")
    return np.concatenate([np.broadcast_to(np.asarray(head), (len(film), *np.asarray(head).shape)), film], axis=1)


def tiled(films: list[Frames], columns: int) -> Frames:
    """Return films side by side, in rows."""
    length = min(map(len, films))
    blank = np.full_like(films[0][:length], 255)
    films = [film[:length] for film in films] + [blank] * (-len(films) % columns)
    rows = [np.concatenate(films[start : start + columns], axis=2) for start in range(0, len(films), columns)]
    return np.concatenate(rows, axis=1)


def write_film(frames: Frames, path: Path) -> None:
    """Write H.264 that browsers play."""
    frames = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.options = {"preset": "slow", "crf": "30", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--length", type=int, default=120, help="turns")
    arguments = parser.parse_args()
    films = []
    for each in arguments.runs:
        label, _, run = each.partition("=")
        films.append(labeled(read_film(Path(run))[-arguments.length :], label))
    write_film(tiled(films, arguments.columns), arguments.output)


if __name__ == "__main__":
    main()
