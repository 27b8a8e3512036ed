"""What the processes of a run on a cluster build their parts from."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import pamiq_exp
from pamiq_exp.interaction import Environment, Observation
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.parts import Buffers, Parts
from pamiq_exp.spaces import action_space_of, describe_spaces, observation_space_of

_FLAGS = ("live", "private", "has_rewards", "has_episodes", "free_running", "noop_action", "own_interval")
"""Attributes of environments that other parts ask for."""


class Blueprint(Protocol):
    """Builds the parts of a run; it is sent to every process of the run.

    Attributes:
        seed: The root seed.
    """

    @property
    def seed(self) -> int:
        """The root seed."""

    @property
    def launch_config(self) -> LaunchConfig:
        """How the run goes."""

    def actor_seed(self, name: str) -> int:
        """Return the root seed of the actor `name`."""

    def build_actor(self, name: str) -> Parts:
        """Build the parts of the actor `name`: the environment with seeds of its own."""

    def build_learner(self, environment: DescribedEnvironment, actors: int) -> tuple[Parts, Sequence[Buffers]]:
        """Build the parts of the learner, and the buffers of each actor. `environment` takes the place of theirs."""


@dataclass(frozen=True)
class EnvironmentDescription:
    """What other processes know of an actor's environment.

    Attributes:
        spaces: See `describe_spaces`.
        flags: Attributes of the environment.
    """

    spaces: Mapping[str, Any]
    flags: Mapping[str, Any]

    @classmethod
    def of(cls, environment: Environment) -> EnvironmentDescription:
        """Describe an environment."""
        spaces = describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)
        return cls(dict(spaces), {name: getattr(environment, name) for name in _FLAGS})


class DescribedEnvironment(Environment):
    """Stands for an environment of another process: shows and accepts the same, but nothing can be done with it."""

    def __init__(self, description: EnvironmentDescription) -> None:
        spaces = description.spaces
        self.observation_space = observation_space_of(spaces["observation"])
        self.action_space = action_space_of(spaces["action"])
        self.num_envs = int(spaces["num_envs"])
        for name, value in description.flags.items():
            setattr(self, name, value)

    def observe(self) -> Observation:
        """See `Environment`. Raises RuntimeError."""
        raise RuntimeError("this environment is in another process")

    def affect(self, action: NDArray[np.generic]) -> None:
        """See `Environment`. Raises RuntimeError."""
        raise RuntimeError("this environment is in another process")


def versions() -> dict[str, str]:
    """Return the versions that all machines of a run must agree in."""
    found = {"Python": ".".join(platform.python_version_tuple()[:2]), "pamiq_exp": pamiq_exp.__version__}
    for name in ("torch", "numpy", "lightning", "gymnasium"):
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def require_same_versions(expected: Mapping[str, str]) -> None:
    """Raise ValueError if this machine has other versions than the run's first process."""
    here = versions()
    other = [f"{name} {here[name]} instead of {wanted}" for name, wanted in expected.items() if here[name] != wanted]
    if other:
        raise ValueError(
            f"launcher.cluster: the machine {platform.node()} has {', '.join(other)}: install the same versions on all "
            "machines (pip install -c constraints.txt)"
        )
