"""Memory that a run's processes share. It has no name, so that nothing can be left behind when they end."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def words(count: int, shared: bool) -> memoryview:
    """Return integers of 64 bits that are 0; `shared`: processes forked from now on see the same ones."""
    size = 8 * count
    return memoryview(mmap.mmap(-1, size) if shared else bytearray(size)).cast("q")


def shared_array(shape: Sequence[int], dtype: str | np.dtype[Any]) -> NDArray[Any]:
    """Return an array of zeros that processes forked from now on share. Pages are taken as they are written."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    memory = mmap.mmap(-1, max(1, count * kind.itemsize))
    return np.frombuffer(memory, kind, count).reshape(shape)
