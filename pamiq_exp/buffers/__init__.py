"""What training keeps, and its two ends."""

from pamiq_exp.buffers.buffer import Batch, DataBuffer, RingBuffer, RolloutBuffer
from pamiq_exp.buffers.collector import DataCollector
from pamiq_exp.buffers.user import DataUser

__all__ = ["Batch", "DataBuffer", "DataCollector", "DataUser", "RingBuffer", "RolloutBuffer"]
