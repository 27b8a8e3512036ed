"""Buffer fields for the trainers of this package."""

from __future__ import annotations

from collections.abc import Mapping


def on_policy_fields(observation: Mapping[str, object], action: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that a `RolloutBuffer` needs for PPO on observations; an agent fills them.

    Args:
        observation: The observation space of one environment, `describe_spaces(...)["observation"]`.
        action: The action space, `describe_spaces(...)["action"]`.
    """
    numbers = {name: {"shape": [], "dtype": "float32"} for name in ("log_prob", "value", "reward")}
    flags = {name: {"shape": [], "dtype": "bool"} for name in ("terminated", "truncated", "ended")}
    version = {"model_version": {"shape": [], "dtype": "int64"}}
    return {"observation": dict(observation), "action": dict(action), **numbers, **flags, **version}
