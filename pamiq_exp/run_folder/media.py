"""The pictures and videos of a run, as another person's run folder may hold them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pamiq_exp.files import UnreadableFileError, read_bytes
from pamiq_exp.run_folder import file_names

MEDIA_TYPES: Mapping[str, str] = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
    ".mp4": "video/mp4", ".webm": "video/webm",
}  # fmt: skip
"""What is shown of `media/`, by the ending of the name."""

MOST_MEDIA_BYTES = 200_000_000
_BEGINS: Mapping[str, re.Pattern[bytes]] = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
"""How pictures begin. A browser finds out by itself that something is no video."""


@dataclass(frozen=True)
class StoredFile:
    """A file of a run: where it lies, its size in bytes and when it was written (seconds since 1970)."""

    path: Path
    size: int
    modified: float

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return self.path.name


def list_media(folder: Path) -> list[StoredFile]:
    """Return the pictures and videos of a run, newest first."""
    found: list[StoredFile] = []
    for entry in entries_of(folder / file_names.MEDIA):
        if media_type(entry.name) is not None and entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            found.append(StoredFile(Path(entry.path), status.st_size, status.st_mtime))
    return sorted(found, key=lambda file: (file.modified, file.name), reverse=True)


def read_media(folder: Path, name: str) -> bytes:
    """Return a picture or video of a run.

    Raises:
        OSError: There is none of that name in `media/`, or it is not what its name says.
    """
    media = folder / file_names.MEDIA
    kind = media_type(name)
    if kind is None or Path(name).name != name or media.is_symlink():
        raise UnreadableFileError(f"{name} is no picture or video of {folder}")
    data = read_bytes(media / name, within=media, most=MOST_MEDIA_BYTES)
    if kind in _BEGINS and _BEGINS[kind].match(data) is None:
        raise UnreadableFileError(f"{name} is not what its name says")
    return data


def media_type(name: str) -> str | None:
    """Return the type of a picture or video by its name; None for anything else."""
    return MEDIA_TYPES.get(Path(name).suffix.lower())


def entries_of(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder; nothing if it is missing, unreadable or a link."""
    if folder.is_symlink():
        return []
    try:
        with os.scandir(folder) as listing:
            return list(listing)
    except OSError:
        return []
