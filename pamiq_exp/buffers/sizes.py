"""Log messages about the memory that buffers take."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pamiq_exp.buffers.buffer import DataBuffer
from pamiq_exp.formatting import bytes_text
from pamiq_exp.machine import physical_memory

logger = logging.getLogger(__name__)


def log_buffer_sizes(buffers: Mapping[str, DataBuffer]) -> str:
    """Log the size of each full buffer, and return the message.

    Memory is allocated as buffers fill, so a run with too large ones would end in the middle: a total above the memory
    of this machine is a warning.
    """
    total = sum(buffer.nbytes for buffer in buffers.values())
    each = ", ".join(f"{name} {bytes_text(buffer.nbytes)}" for name, buffer in buffers.items())
    text = f"buffers, when full: {each or 'none'}"
    memory = physical_memory()
    if memory is not None and total > memory:
        logger.warning("%s; that is more than the %s of this machine: set a smaller capacity", text, bytes_text(memory))
    elif buffers:
        logger.info("%s", text)
    return text
