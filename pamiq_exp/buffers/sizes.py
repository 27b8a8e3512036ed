"""What buffers will take, told before they take it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from pamiq_exp.buffers.buffer import DataBuffer

logger = logging.getLogger(__name__)

UNITS = ("B", "kB", "MB", "GB", "TB")


def readable_bytes(count: float) -> str:
    """Return a number of bytes for people: `100.7 MB`."""
    size = 0
    while count >= 1000 and size < len(UNITS) - 1:
        count, size = count / 1000, size + 1
    return f"{count:.1f} {UNITS[size]}" if size else f"{count:.0f} {UNITS[0]}"


def tell_sizes(buffers: Mapping[str, DataBuffer]) -> str:
    """Log what each buffer takes when it is full, and return it.

    Memory is claimed as buffers fill, so one that is too large would end a run in the middle: sizes above the
    memory of this machine are a warning.
    """
    total = sum(buffer.nbytes for buffer in buffers.values())
    each = ", ".join(f"{name} {readable_bytes(buffer.nbytes)}" for name, buffer in buffers.items())
    text = f"buffers, when full: {each or 'none'}"
    memory = _physical_memory()
    if memory is not None and total > memory:
        logger.warning(
            "%s; that is more than the %s of this machine: set a smaller capacity", text, readable_bytes(memory)
        )
    elif buffers:
        logger.info("%s", text)
    return text


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
