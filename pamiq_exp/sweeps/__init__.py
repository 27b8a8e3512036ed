"""TODO first line."""

from pamiq_exp.sweeps.copied_configs import freeze, freeze_override

__all__ = [
    "freeze",
    "freeze_override",
]
