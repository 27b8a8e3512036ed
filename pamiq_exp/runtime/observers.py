"""Parts that observe the interaction."""

from __future__ import annotations

from pamiq_exp.interaction import StepObserver


def is_observer(part: object) -> bool:
    """Whether a part is called with every turn: a metric, or a recorder among the trackers."""
    return isinstance(part, StepObserver)
