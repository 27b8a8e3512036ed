"""Pictures from a folder of the user."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pamiq_exp.files import open_file

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""Formats that Pillow may read; for others it starts programs (EPS) or uses rarely reviewed code."""
MOST_BYTES = 200_000_000

logger = logging.getLogger(__name__)

MOST_PIXELS = 64_000_000
"""Pictures with more pixels are skipped: they may be decompression bombs."""


def load_folder(folder: Path, count: int, size: int) -> NDArray[np.uint8]:
    """Return `count` pictures of a folder as `(count, size, size, 3)` uint8.

    Files are taken in the order of their names, cut to a centered square and resized; if there are fewer
    than `count`, they are repeated. Files that are not readable pictures are skipped, with a warning that
    names them. Raises ValueError for a folder that does not exist or holds no readable picture.
    """
    if not folder.is_dir():
        raise ValueError(
            f"images.path: there is no folder {folder}; put pictures there, or use images.source=procedural"
        )
    pictures: list[NDArray[np.uint8]] = []
    for path in sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")):
        if len(pictures) == count:
            break
        try:
            pictures.append(load_picture(path, size, folder))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            logger.warning("skipped %s: %s", path, error)
    if not pictures:
        raise ValueError(
            f"images.path: no readable picture in {folder}; put png, jpg or other pictures there, "
            "or use images.source=procedural"
        )
    if len(pictures) < count:
        logger.warning("%s holds %d pictures, fewer than noise.pool=%d: they repeat", folder, len(pictures), count)
    return np.stack([pictures[index % len(pictures)] for index in range(count)])


def load_picture(path: Path, size: int, within: Path | None = None) -> NDArray[np.uint8]:
    """Return one picture as `(size, size, 3)` uint8, of a folder that no link may lead out of.

    Raises OSError or ValueError if it cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with open_file(path, within=within, most=MOST_BYTES) as file:
            try:
                picture = Image.open(file, formats=FORMATS)
            except UnidentifiedImageError:
                raise ValueError(f"no picture in one of the formats {', '.join(FORMATS)}") from None
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} is more than {MOST_PIXELS} pixels")
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    ground = Image.new("RGBA", upright.size, (255, 255, 255, 255))
    flat = Image.alpha_composite(ground, upright).convert("RGB")
    return np.asarray(ImageOps.fit(flat, (size, size), Image.Resampling.LANCZOS), dtype=np.uint8)
