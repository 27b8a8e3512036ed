"""Memory and locks that a run's processes share. They have no name, so nothing is left behind when the processes end.

All of it is made before the other process is forked, which then sees the same memory.
"""

from __future__ import annotations

import mmap
import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Lock as ProcessLock
from multiprocessing.synchronize import Semaphore as ProcessSemaphore
from threading import Lock as ThreadLock
from threading import Semaphore as ThreadSemaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray


def lock(shared: bool) -> ThreadLock | ProcessLock:
    """Return a lock; `shared`: processes forked from now on may take it too."""
    return multiprocessing.get_context("fork").Lock() if shared else ThreadLock()


def semaphore(shared: bool) -> ThreadSemaphore | ProcessSemaphore:
    """Return a semaphore that begins at 0; `shared`: for processes forked from now on too."""
    return multiprocessing.get_context("fork").Semaphore(0) if shared else ThreadSemaphore(0)


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
