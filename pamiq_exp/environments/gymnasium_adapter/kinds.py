"""Errors for objects that are not a Gymnasium environment of one agent with one reward."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


def require_environment(made: Any) -> None:
    """Raise ValueError, with what to do, for anything that is not an environment for one agent."""
    kind = type(made).__name__
    if isinstance(made, gymnasium.vector.VectorEnv):
        raise ValueError(
            f"{kind} is a vector of environments: make a single one, and set environment.num_envs to their number"
        )
    if _is_from(made, "pettingzoo") or hasattr(made, "possible_agents") or hasattr(made, "agent_iter"):
        raise ValueError(
            f"{kind} is an environment of several agents (PettingZoo). An agent here acts alone: "
            "wrap it into a gymnasium.Env in which one of its agents acts, and name that with environment.make"
        )
    if _is_from(made, "dm_env", "dm_control"):
        raise ValueError(
            f"{kind} is an environment of dm_control: `pip install shimmy` and use shimmy's wrapper for it"
        )
    missing = [name for name in ("reset", "step", "close") if not callable(getattr(made, name, None))]
    missing += [name for name in ("observation_space", "action_space") if not hasattr(made, name)]
    if missing:
        raise ValueError(f"{kind} is no Gymnasium environment, it has no {' and no '.join(missing)}")
    for name in ("observation_space", "action_space"):
        space = getattr(made, name)
        if not isinstance(space, gymnasium.Space):
            old = _is_from(space, "gym")
            what = "a space of old gym" if old else f"{type(space).__name__}, expected a gymnasium.Space"
            hint = ": wrap the environment with shimmy (pip install shimmy), or update it to gymnasium" if old else ""
            raise ValueError(f"{name} of {kind} is {what}{hint}")


def require_one_objective(made: Any) -> None:
    """Raise ValueError, with what to do, for an environment whose reward is several numbers that no wrapper weighs."""
    objectives = getattr(getattr(made, "unwrapped", made), "reward_space", None)
    count = int(np.prod(objectives.shape)) if isinstance(objectives, gymnasium.spaces.Box) else 1
    if count > 1 and not any("reward" in type(layer).__name__.lower() for layer in layers(made)):
        raise ValueError(
            f"{type(made.unwrapped).__name__} has {count} objectives and a reward for each (MO-Gymnasium), expected "
            "one number: weigh them with 'environment.wrappers=[{_target_: mo_gymnasium.wrappers.LinearReward, "
            "_partial_: true}]' --allow mo_gymnasium"
        )


def layers(environment: Any) -> list[Any]:
    """Return an environment and what it wraps, the outermost wrapper first."""
    found = [environment]
    while isinstance(found[-1], gymnasium.Wrapper):
        found.append(found[-1].env)
    return found


def _is_from(thing: Any, *packages: str) -> bool:
    return any(cls.__module__.partition(".")[0] in packages for cls in type(thing).__mro__)
