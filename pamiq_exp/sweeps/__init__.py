"""Sweeps: their files, folders, jobs, view, search with Optuna, and Ray."""

from pamiq_exp.sweeps.copied_configs import freeze, freeze_override

__all__ = [
    "freeze",
    "freeze_override",
]
