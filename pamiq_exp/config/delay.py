"""`interaction.delay`: the environment as the agent meets it, with its actions delayed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DELAYED = "pamiq_exp.environments.delayed"


def with_delay(environment: object, delay: Mapping[str, Any] | None) -> object:
    """Return the node of an environment whose actions are delayed; the node itself if nothing is.

    The agent meets the delayed environment, with the spaces of that one, and so does everything else that
    builds an environment from the node `environment`: held-out data, metrics.
    """
    delay = delay or {}
    if not (delay.get("steps") or delay.get("observe_action") or delay.get("substeps", 1) != 1):
        return environment
    return {"_target_": DELAYED, **delay, "environment": environment}
