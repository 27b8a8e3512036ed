"""Memory and load of this machine."""

from __future__ import annotations

import os
from pathlib import Path


def physical_memory() -> int | None:
    """Return the bytes of memory of this machine; None where the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def process_memory() -> int | None:
    """Return the bytes of memory that this process holds; None where the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def load() -> float:
    """Return how many processes run or wait for a core, mean over the last minute."""
    return os.getloadavg()[0]
