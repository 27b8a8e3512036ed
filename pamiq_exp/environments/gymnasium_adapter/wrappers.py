"""Wrappers of single Gymnasium environments."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from pamiq_exp.spaces import ACTION_MASK

Env = gymnasium.Env[Any, Any]
Info = dict[str, Any]

INFO = "info"


class RepeatedAction(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Does each action several times in a row and sums the rewards; an end of the episode ends the turn.

    Args:
        env: The environment.
        times: Steps in a turn.
    """

    def __init__(self, env: Env, times: int) -> None:
        RecordConstructorArgs.__init__(self, times=times)
        gymnasium.Wrapper.__init__(self, env)
        self._times = times

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, Info]:
        """See `gymnasium.Wrapper`."""
        total = 0.0
        for _ in range(self._times):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class ShownActionMask(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Shows the action mask of an environment as the part `action_mask` of its observation, where policies read it.

    Args:
        env: The environment. An observation that is no Dict becomes its part `observation`.
        source: `info` for `info["action_mask"]`, as Gymnasium's Taxi gives it; else the name of a method that returns
            it, such as `action_masks` of sb3-contrib.

    Raises:
        ValueError: Actions are no choices, the observation has such a part already, or there is no such method.
    """

    def __init__(self, env: Env, source: str = INFO) -> None:
        RecordConstructorArgs.__init__(self, source=source)
        gymnasium.Wrapper.__init__(self, env)
        self._source = source
        if isinstance(env.action_space, spaces.Discrete):
            self._choices = int(env.action_space.n)
        elif isinstance(env.action_space, spaces.MultiDiscrete):
            self._choices = int(env.action_space.nvec.sum())
        else:
            raise ValueError(f"an action mask marks choices, but these actions are {env.action_space}")
        self._is_dict = isinstance(env.observation_space, spaces.Dict)
        parts = dict(env.observation_space.spaces) if isinstance(env.observation_space, spaces.Dict) else {}
        if ACTION_MASK in parts:
            raise ValueError(f"the observation has the part {ACTION_MASK} already: leave this wrapper out")
        if source != INFO and not (source.isidentifier() and source[0] != "_" and env.has_wrapper_attr(source)):
            raise ValueError(f"this environment has no method {source}; with source=info its info has the mask")
        if not self._is_dict:
            parts = {"observation": env.observation_space}
        self.observation_space = spaces.Dict(parts | {ACTION_MASK: spaces.Box(0, 1, (self._choices,), np.int8)})

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """See `gymnasium.Wrapper`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._shown(observation, info), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, Info]:
        """See `gymnasium.Wrapper`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._shown(observation, info), reward, terminated, truncated, info

    def _shown(self, observation: Any, info: Info) -> dict[str, Any]:
        mask = self._mask(info)
        return {**(observation if self._is_dict else {"observation": observation}), ACTION_MASK: mask}

    def _mask(self, info: Info) -> NDArray[np.int8]:
        if self._source != INFO:
            mask = self.env.get_wrapper_attr(self._source)()
        elif ACTION_MASK in info:
            mask = info[ACTION_MASK]
        else:
            raise ValueError(f"info has no {ACTION_MASK}; it has: {', '.join(map(str, info)) or 'nothing'}")
        flat = (
            np.concatenate([np.asarray(part).reshape(-1) for part in mask])
            if isinstance(mask, (list, tuple))
            else (np.asarray(mask).reshape(-1))
        )
        if flat.shape != (self._choices,) or flat.dtype.kind not in "biuf":
            raise ValueError(f"the action mask has {flat.size} entries, expected {self._choices}: one for each choice")
        return flat.astype(np.int8)
