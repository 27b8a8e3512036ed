"""What training keeps, and its two ends."""

from pamiq_exp.buffers.buffer import Batch, DataBuffer, RingBuffer, RolloutBuffer, buffer_bytes
from pamiq_exp.buffers.collector import DataCollector
from pamiq_exp.buffers.random_replacement import RandomReplacementBuffer
from pamiq_exp.buffers.sizes import readable_bytes, tell_sizes
from pamiq_exp.buffers.user import DataUser

__all__ = [
    "Batch",
    "DataBuffer",
    "DataCollector",
    "DataUser",
    "RandomReplacementBuffer",
    "RingBuffer",
    "RolloutBuffer",
    "buffer_bytes",
    "readable_bytes",
    "tell_sizes",
]
