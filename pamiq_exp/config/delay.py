"""`interaction.delay`: how the environment that the agent acts in gets delayed actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DELAYED = "pamiq_exp.environments.delayed"


def with_delay(environment: object, delay: Mapping[str, Any] | None) -> object:
    """Return the node of an environment whose actions are delayed; the node itself if nothing is.

    The agent acts in the delayed environment and sees its spaces, and so does everything else that builds an
    environment from the node `environment`: held-out data, metrics.
    """
    delay = delay or {}
    if not (delay.get("steps") or delay.get("observe_action") or delay.get("substeps", 1) != 1):
        return environment
    return delay_node(delay) | {"environment": environment}


def delay_node(delay: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the node that delays the actions of the environment it is given."""
    return {"_target_": DELAYED, **(delay or {})}


def without_delay(interaction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of an interaction as its class takes it: the delay is applied to the environment."""
    return {key: value for key, value in interaction.items() if key != "delay"}
