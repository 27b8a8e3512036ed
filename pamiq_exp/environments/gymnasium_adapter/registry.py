"""Finding environments by their Gymnasium id."""

from __future__ import annotations

import atexit
import difflib
import importlib
import importlib.util
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium


@dataclass(frozen=True)
class _Package:
    """A package that registers environments: how their ids begin, which module does it, how it is installed."""

    prefix: str
    module: str
    install: str
    only_prefix: bool = True
    """Whether all of its ids begin so."""

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None


_PACKAGES = (
    _Package("ALE/", "ale_py", "pip install ale-py", only_prefix=False),
    _Package("MiniGrid-", "minigrid", "pip install minigrid", only_prefix=False),
    _Package("MiniWorld-", "miniworld", "pip install miniworld"),
    _Package("Vizdoom", "vizdoom.gymnasium_wrapper", "pip install vizdoom"),
    _Package("real-time-gym-", "rtgym", "pip install rtgym"),
)


def make(environment_id: str, **arguments: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment by its id.

    Raises:
        ValueError: The id is unknown, its package is missing, or it does not take the arguments. The
            message says what to do.
    """
    register(environment_id)
    arguments.setdefault("disable_env_checker", True)
    if environment_id.startswith("Vizdoom"):
        arguments.setdefault("vizdoom_path", _doom_in_a_folder_of_its_own())
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
    for package in sorted(_PACKAGES, key=lambda each: not environment_id.startswith(each.prefix)):
        if _is_registered(environment_id):
            return
        meant = environment_id.startswith(package.prefix)
        if package.is_installed and (meant or not package.only_prefix):
            if package.module == "miniworld":
                _draw_without_a_window()
            gymnasium.register_envs(importlib.import_module(package.module))
        elif meant:
            break
    if not _is_registered(environment_id):
        raise ValueError(_unknown(environment_id, gymnasium.registry))


def _draw_without_a_window() -> None:
    """Let pyglet, which draws MiniWorld, do so through EGL where there is no display.

    Raises:
        ValueError: This machine can draw neither way; the message says what to install.
    """
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return
    importlib.import_module("pyglet").options["headless"] = True
    try:
        importlib.import_module("pyglet.gl")
    except Exception as error:  # what is missing shows as ImportError, OSError, or an error of pyglet's own
        raise ValueError(
            f"MiniWorld cannot draw here: there is no display, and EGL does not work ({error}). "
            "On Debian and Ubuntu: sudo apt install libegl1 libgl1-mesa-dri libglu1-mesa"
        ) from error


@cache
def _doom_in_a_folder_of_its_own() -> str:
    """Return the path of Doom's engine such that it leaves its settings in a temporary folder and not in the current
    one: it writes wherever it was started, so a script of two lines starts it."""
    engine = Path(importlib.import_module("vizdoom").__file__ or "").parent / "vizdoom"
    if os.name != "posix" or not engine.exists():
        return str(engine)
    folder = Path(tempfile.mkdtemp(prefix="vizdoom_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    script = folder / "start"
    words = f'#!/bin/sh\ncd {shlex.quote(str(folder))} && exec {shlex.quote(str(engine))} "$@"\n'
    script.write_text(words, encoding="utf-8")
    script.chmod(0o700)
    return str(script)


def _is_registered(environment_id: str) -> bool:
    try:
        gymnasium.spec(environment_id)
    except gymnasium.error.Error:
        return False
    return True


def _unknown(environment_id: str, registry: Mapping[str, object]) -> str:
    for package in _PACKAGES:
        if environment_id.startswith(package.prefix) and not package.is_installed:
            return f"the environment '{environment_id}' needs the package {package.module}: `{package.install}`"
    lower = {name.lower(): name for name in registry}
    near = [lower[name] for name in difflib.get_close_matches(environment_id.lower(), lower, n=4, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else "`gymnasium.pprint_registry()` lists those that exist."
    return f"Gymnasium knows no environment '{environment_id}'. {hint}"
