"""Why a process of a cluster has ended, in a sentence."""

from __future__ import annotations

_MOST_CHARACTERS = 300

_DEATHS = {"RayActorError", "OutOfMemoryError"}
"""Names of Ray's classes of errors that say that a process is gone."""


def is_death(error: BaseException) -> bool:
    """Whether an error of Ray says that a process is gone, and not only that it could not do its work."""
    return any(base.__name__ in _DEATHS for base in type(error).__mro__)


def cause_of_death(who: str, error: BaseException) -> str:
    """Return a sentence about the death of a process that Ray has reported.

    Args:
        who: What the process was, such as "the learner".
        error: What Ray raised.
    """
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not is_death(error):
        return (
            f"{who} cannot read what it was sent: {lines[-1][:_MOST_CHARACTERS]}; install your own packages on all "
            "machines of the cluster"
        )
    if "creation task" in text or "runtime_env" in text.lower():
        return (
            f"the process of {who} could not be started: {lines[-1][:_MOST_CHARACTERS]}; install pamiq_exp and your "
            "own packages on all machines of the cluster"
        )
    if type(error).__name__ == "OutOfMemoryError" or "low on memory" in text or "memory pressure" in text:
        return f"{who} needed more memory than its machine has: make buffers, batches or num_envs smaller"
    if "node has died" in text or "node was terminated" in text or "node was drained" in text:
        return f"{who} has died: its machine has left the cluster"
    return (
        f"{who} has died: its process was killed or crashed; systems end processes so when memory is short: make "
        "buffers, batches or num_envs smaller"
    )
