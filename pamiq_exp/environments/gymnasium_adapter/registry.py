"""Finding environments by their Gymnasium id."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import gymnasium

_PACKAGES = {
    "ale_py": ("ALE/", "pip install ale-py"),
    "minigrid": ("MiniGrid-", "pip install minigrid"),
    "miniworld": ("MiniWorld-", "pip install miniworld"),
    "vizdoom": ("Vizdoom", "pip install vizdoom"),
}
"""Packages that register environments when they are imported: how their ids begin, how they are installed."""


def make(environment_id: str, **arguments: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment by its id.

    Raises:
        ValueError: The id is unknown, its package is missing, or it does not take the arguments. The
            message says what to do.
    """
    register(environment_id)
    arguments.setdefault("disable_env_checker", True)
    try:
        return gymnasium.make(environment_id, **arguments)
    except (ImportError, gymnasium.error.DependencyNotInstalled) as error:
        raise ValueError(f"the environment '{environment_id}' needs a package that is missing: {error}") from error
    except (gymnasium.error.Error, TypeError) as error:
        raise ValueError(f"the environment '{environment_id}' cannot be made: {error}") from error


def make_native_vector(environment_id: str, lanes: int, **arguments: Any) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Make an environment that steps all its lanes at once, by code of its own.

    Raises:
        ValueError: There is no such environment, or it does not reset its lanes at the next step.
    """
    register(environment_id)
    try:
        vector = gymnasium.make_vec(
            environment_id, lanes, gymnasium.VectorizeMode.VECTOR_ENTRY_POINT, **arguments
        )  # fmt: skip
    except (ImportError, TypeError, gymnasium.error.Error, gymnasium.error.DependencyNotInstalled) as error:
        raise ValueError(
            f"the environment '{environment_id}' cannot be made as one vector: {error}. "
            "Use vectorization=lanes, which works for every environment"
        ) from error
    if vector.metadata.get("autoreset_mode") is not gymnasium.vector.AutoresetMode.NEXT_STEP:
        mode = vector.metadata.get("autoreset_mode")
        vector.close()
        raise ValueError(
            f"the vector environment '{environment_id}' resets its lanes in the mode {mode}, which loses the last "
            "observation of an episode. Use vectorization=lanes"
        )
    return vector


def register(environment_id: str) -> None:
    """Make sure that `environment_id` is registered, importing the package that registers it where it is known.

    Raises:
        ValueError: Nothing is registered under this id; the message has the nearest ones.
    """
    if ":" in environment_id:
        raise ValueError(
            f"'{environment_id}' would import a module by its name in a string. Name the class instead: "
            "make: {_target_: module.Class, _partial_: true}"
        )
    for package, (prefix, _) in sorted(_PACKAGES.items(), key=lambda entry: not environment_id.startswith(entry[1][0])):
        if _is_registered(environment_id):
            return
        if importlib.util.find_spec(package) is not None:
            gymnasium.register_envs(importlib.import_module(package))
        elif environment_id.startswith(prefix):
            break
    if not _is_registered(environment_id):
        raise ValueError(_unknown(environment_id, gymnasium.registry))


def _is_registered(environment_id: str) -> bool:
    try:
        gymnasium.spec(environment_id)
    except gymnasium.error.Error:
        return False
    return True


def _unknown(environment_id: str, registry: Mapping[str, object]) -> str:
    for package, (prefix, install) in _PACKAGES.items():
        if environment_id.startswith(prefix) and importlib.util.find_spec(package) is None:
            return f"the environment '{environment_id}' needs the package {package}: `{install}`"
    lower = {name.lower(): name for name in registry}
    near = [lower[name] for name in difflib.get_close_matches(environment_id.lower(), lower, n=4, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else "`gymnasium.pprint_registry()` lists those that exist."
    return f"Gymnasium knows no environment '{environment_id}'. {hint}"
