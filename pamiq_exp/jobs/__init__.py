"""TODO first line."""

from pamiq_exp.jobs.signals import interruptible, status_of

__all__ = [
    "interruptible",
    "status_of",
]
