"""Any Gymnasium environment as an environment of an interaction."""

from pamiq_exp.environments.gymnasium_adapter.adapter import GymnasiumEnvironment

__all__ = [
    "GymnasiumEnvironment",
]
