"""`interaction.delay`, `frame_stack` and `action_repeat`: how the environment that the agent acts in is wrapped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DELAYED = "pamiq_exp.environments.delayed"
STACKED = "pamiq_exp.environments.FrameStack"
REPEATED = "pamiq_exp.environments.repeated"

WRAPPERS = ("action_repeat", "frame_stack", "delay")
"""Keys of an interaction that wrap its environment, the innermost first."""


def wrapped_environment(environment: object, interaction: Mapping[str, Any]) -> object:
    """Return the node of an environment as an interaction wraps it; the node itself if it does not.

    The agent acts in the wrapped environment and sees its spaces, and so does everything else that builds an
    environment from the node `environment`: held-out data, metrics.
    """
    node = environment
    for key, wrapper in wrapper_nodes(interaction):
        if _wraps(key, interaction[key]):
            node = wrapper | {"environment": node}
    return node


def wrapper_nodes(interaction: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield key and node of each wrapper that an interaction describes, without their environment."""
    for key in WRAPPERS:
        settings = interaction.get(key)
        if settings is None:
            continue
        if key == "delay":
            yield key, {"_target_": DELAYED, **settings}
        elif key == "frame_stack":
            yield key, {"_target_": STACKED, "frames": settings}
        else:
            yield key, {"_target_": REPEATED, "times": settings}


def without_wrappers(interaction: Mapping[str, Any]) -> dict[str, Any]:
    """Return the node of an interaction as its class takes it: the wrappers are applied to the environment."""
    return {key: value for key, value in interaction.items() if key not in WRAPPERS}


def _wraps(key: str, settings: Any) -> bool:
    if key != "delay":
        return bool(settings != 1)
    return bool(settings.get("steps") or settings.get("observe_action") or settings.get("substeps", 1) != 1)
