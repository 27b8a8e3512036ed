"""Buffers of transitions, collectors that fill them, and users that read them."""

from pamiq_exp.buffers.buffer import Batch, DataBuffer, RingBuffer, RolloutBuffer, buffer_bytes
from pamiq_exp.buffers.collector import DataCollector
from pamiq_exp.buffers.fields import on_policy_fields
from pamiq_exp.buffers.random_replacement import RandomReplacementBuffer
from pamiq_exp.buffers.replay import ReplayBuffer
from pamiq_exp.buffers.scheduled import ScheduledCollector, ScheduledUser
from pamiq_exp.buffers.sizes import log_buffer_sizes
from pamiq_exp.buffers.user import DataUser

__all__ = [
    "Batch",
    "DataBuffer",
    "DataCollector",
    "DataUser",
    "RandomReplacementBuffer",
    "ReplayBuffer",
    "RingBuffer",
    "RolloutBuffer",
    "ScheduledCollector",
    "ScheduledUser",
    "buffer_bytes",
    "log_buffer_sizes",
    "on_policy_fields",
]
