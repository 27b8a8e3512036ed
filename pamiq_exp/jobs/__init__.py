"""One run from its command line to its exit status: request, preflight checks, job, resume, console."""

from pamiq_exp.jobs.signals import interruptible, status_of

__all__ = [
    "interruptible",
    "status_of",
]
