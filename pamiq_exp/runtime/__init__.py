"""The launcher: it runs an interaction and its trainers, and knows nothing of what they are about."""

from pamiq_exp.runtime.checkpoints import CheckpointError, list_checkpoints
from pamiq_exp.runtime.config import CheckpointConfig, LaunchConfig, ThreadConfig
from pamiq_exp.runtime.handle import RunHandle, Status
from pamiq_exp.runtime.launcher import Summary, launch
from pamiq_exp.runtime.publication import InferenceModel, Publisher

__all__ = [
    "CheckpointConfig",
    "CheckpointError",
    "InferenceModel",
    "LaunchConfig",
    "Publisher",
    "RunHandle",
    "Status",
    "Summary",
    "ThreadConfig",
    "launch",
    "list_checkpoints",
]
