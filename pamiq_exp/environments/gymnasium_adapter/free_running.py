"""Gymnasium environments that wait for their agent, or go on by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pamiq_exp.environments.gymnasium_adapter.adapter import GymnasiumEnvironment, Vectorization
from pamiq_exp.environments.gymnasium_adapter.copy import Env
from pamiq_exp.environments.gymnasium_adapter.observations import Channels
from pamiq_exp.environments.wrappers.free_running import FreeRunning, Hold
from pamiq_exp.interaction import Environment


def gymnasium_environment(
    id: str | None = None,  # noqa: A002 - the name that Gymnasium's users know
    num_envs: int = 1,
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    make: Callable[..., Env] | None = None,
    wrappers: Sequence[Callable[[Env], Env]] = (),
    overlays: Sequence[Callable[[Env], Env]] = (),
    image_size: int | Sequence[int] | None = None,
    render_as_observation: bool = False,
    truth: Mapping[str, str] | None = None,
    snapshot: bool | None = None,
    vectorization: Vectorization = "sync",
    channels: Channels | None = None,
    numbered: Mapping[str, int] | None = None,
    free_running: bool = False,
    interval: float = 0.05,
    hold: Hold = "previous",
) -> Environment:
    """Return any Gymnasium environment; with `free_running` it goes on by itself.

    Args:
        id, num_envs, seed, kwargs, make, wrappers, overlays, image_size, render_as_observation, truth, snapshot,
            vectorization, channels, numbered: See `GymnasiumEnvironment`.
        free_running: Whether a thread steps the environment by the wall clock, whatever the agent does meanwhile.
        interval: Seconds from one step to the next, if it is free-running.
        hold: What it does in a step for which no new action has come; see `FreeRunning`.

    Raises:
        ValueError: See `GymnasiumEnvironment` and `FreeRunning`.
    """
    maker = partial(
        GymnasiumEnvironment, id, num_envs, seed, kwargs, make, wrappers, overlays, image_size,
        render_as_observation, truth, snapshot, vectorization, channels, numbered,
    )  # fmt: skip
    return FreeRunning(maker, interval, hold) if free_running else maker()
