"""Any Gymnasium environment as an environment of an interaction."""

from pamiq_exp.environments.gymnasium_adapter.adapter import GymnasiumEnvironment
from pamiq_exp.environments.gymnasium_adapter.free_running import gymnasium_environment

__all__ = [
    "GymnasiumEnvironment",
    "gymnasium_environment",
]
