"""Experiments on curious agents: a world that never waits, and models that learn beside it.

The names below are loaded when first used, so that `import pamiq_exp` stays quick.
"""

# Nothing is imported from a file before this: `python -m pamiq_exp` has put the current folder first on the path, where
# a `typing.py` may lie. While the package is looked for its first argument is `-m`.
import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]

from typing import TYPE_CHECKING

from pamiq_exp._version import __version__
from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.buffers import DataBuffer, DataCollector, DataUser
    from pamiq_exp.interaction import Agent, Environment, FixedIntervalInteraction, Interaction
    from pamiq_exp.runtime import InferenceModel, LaunchConfig, launch
    from pamiq_exp.trainers import Trainer

__all__ = [
    "Agent",
    "DataBuffer",
    "DataCollector",
    "DataUser",
    "Environment",
    "FixedIntervalInteraction",
    "InferenceModel",
    "Interaction",
    "LaunchConfig",
    "Trainer",
    "__version__",
    "launch",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Agent": "interaction",
        "DataBuffer": "buffers",
        "DataCollector": "buffers",
        "DataUser": "buffers",
        "Environment": "interaction",
        "FixedIntervalInteraction": "interaction",
        "InferenceModel": "runtime",
        "Interaction": "interaction",
        "LaunchConfig": "runtime",
        "Trainer": "trainers",
        "launch": "runtime",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
