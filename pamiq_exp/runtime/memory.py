"""How memory is taken from the operating system and given back."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From glibc's `malloc.h`."""

_LARGEST_KEPT = 32 * 2**20
"""Bytes of the largest block that is kept: glibc accepts no more."""

_KEPT = 512 * 2**20
"""Unused bytes above which memory is given back."""


def tune_malloc() -> None:
    """Keep freed memory for the next batch instead of giving it back. For the rest of the process; glibc only.

    A training step takes and frees the same megabytes again and again. By its defaults glibc gives them back to the
    system each time, on any thread but the main one most eagerly, and the next step pays for every page again: a
    quarter to a third of the time of a small convolutional network. Both values are set because setting one
    keeps glibc from adapting the other. A system without glibc is left as it is.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT)
        library.mallopt(_M_TRIM_THRESHOLD, _KEPT)
