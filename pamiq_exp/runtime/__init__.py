"""The launcher: it runs an interaction and its trainers, and knows nothing of what they are about.

The names below are loaded when first used: the settings of a launch can be read without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.runtime.checkpoints import CheckpointError
    from pamiq_exp.runtime.config import CheckpointConfig, LaunchConfig, ThreadConfig
    from pamiq_exp.runtime.handle import RunHandle, Status
    from pamiq_exp.runtime.launcher import launch
    from pamiq_exp.runtime.publication import InferenceModel, Publisher
    from pamiq_exp.runtime.run import Summary

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
]

__getattr__ = lazy_names(
    __name__,
    {
        "CheckpointConfig": "config",
        "CheckpointError": "checkpoints",
        "InferenceModel": "publication",
        "LaunchConfig": "config",
        "Publisher": "publication",
        "RunHandle": "handle",
        "Status": "handle",
        "Summary": "run",
        "ThreadConfig": "config",
        "launch": "launcher",
    },
)
