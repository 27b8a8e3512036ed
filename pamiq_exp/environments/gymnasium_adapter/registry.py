"""Lookup of environments by their Gymnasium id."""

from __future__ import annotations

import atexit
import difflib
import importlib
import importlib.util
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import gymnasium

from pamiq_exp.extras import install_hint
from pamiq_exp.trust import module_of, trusted_packages


@dataclass(frozen=True)
class _Package:
    """A package that registers environments: the prefix of their ids, and its module."""

    prefix: str
    module: str
    only_prefix: bool = True
    """Whether all of its ids have that prefix."""

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module.partition(".")[0]) is not None


_PACKAGES = (
    _Package("ALE/", "ale_py", only_prefix=False),
    _Package("MiniGrid-", "minigrid", only_prefix=False),
    _Package("MiniWorld-", "miniworld"),
    _Package("Vizdoom", "vizdoom.gymnasium_wrapper"),
    _Package("real-time-gym-", "rtgym"),
    _Package("pamiq_exp/", "pamiq_exp.environments.real_time_tasks"),
)


@dataclass(frozen=True)
class Found:
    """A registered environment: its id, and the user's module that registers it on import, if any."""

    id: str
    module: str | None = None


def make(found: Found, **arguments: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment.

    Raises:
        ValueError: Its package is missing, or it does not take the arguments. The message says what to do.
    """
    _register(found)
    arguments.setdefault("disable_env_checker", True)
    if found.id.startswith("Vizdoom"):
        arguments.setdefault("vizdoom_path", _doom_in_a_temporary_folder())
    try:
        return gymnasium.make(found.id, **arguments)
    except (ModuleNotFoundError, gymnasium.error.DependencyNotInstalled) as error:
        raise ValueError(f"the environment '{found.id}' needs a package that is missing: {error}") from error
    except (ImportError, gymnasium.error.Error, TypeError) as error:
        raise ValueError(f"the environment '{found.id}' cannot be made: {error}") from error


def make_native_vector(found: Found, count: int, **arguments: Any) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Make an environment that steps all its copies at once, with its own vector implementation.

    Raises:
        ValueError: There is no such environment, or it does not reset its copies at the next step.
    """
    _register(found)
    try:
        vector = gymnasium.make_vec(
            found.id, count, gymnasium.VectorizeMode.VECTOR_ENTRY_POINT, **arguments
        )  # fmt: skip
    except (ImportError, TypeError, gymnasium.error.Error, gymnasium.error.DependencyNotInstalled) as error:
        raise ValueError(
            f"the environment '{found.id}' cannot be made as one vector: {error}. "
            "Use vectorization=sync, which works for every environment"
        ) from error
    if vector.metadata.get("autoreset_mode") is not gymnasium.vector.AutoresetMode.NEXT_STEP:
        mode = vector.metadata.get("autoreset_mode")
        vector.close()
        raise ValueError(
            f"the vector environment '{found.id}' resets its copies in the mode {mode}, which loses the last "
            "observation of an episode. Use vectorization=sync"
        )
    return vector


def find(environment_id: str) -> Found:
    """Find a registered environment, importing the package that registers it.

    Known packages are imported as they are needed. Others are imported if the user trusts them (`--allow PACKAGE`):
    the one before the colon of `PACKAGE:Id-v0`, or the trusted ones in their order until one has registered the id.

    Raises:
        ValueError: Nothing is registered under this id, or its package is not trusted; the message says what to type.
    """
    package, colon, name = environment_id.rpartition(":")
    if not name or (colon and not package):
        raise ValueError(f"'{environment_id}' is no id: write Id-v0, or PACKAGE:Id-v0 with --allow PACKAGE")
    if colon:
        module = module_of(package)
        known = [each for each in _PACKAGES if module.partition(".")[0] == each.module.partition(".")[0]]
        if known or module == "gymnasium":
            return find(name)
        if module.partition(".")[0] in sys.stdlib_module_names:
            raise ValueError(
                f"'{environment_id}': {module} is one of Python's own modules, which registers no environment. To name "
                "a class of yours: environment.make={_target_: MODULE.CLASS, _partial_: true} environment.id=null"
            )
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            raise ValueError(f"'{environment_id}': there is no package {module} here: install it, and allow it by name")
        if not any(module == prefix or module.startswith(f"{prefix}.") for prefix in trusted_packages()):
            raise ValueError(
                f"'{environment_id}' would import the package {module}: if you trust it, allow that with --allow "
                f"{module} (in Python: import {module} first, and leave it out of the id)"
            )
        found = Found(name, module)
        _register(found)
        return found
    _register(Found(environment_id))
    if _is_registered(environment_id):
        return Found(environment_id)
    for module in trusted_packages():
        _import(module)
        if _is_registered(environment_id):
            return Found(environment_id, module)
    raise ValueError(_unknown(environment_id, trusted_packages()))


def _register(found: Found) -> None:
    """Import what registers an environment, unless it is registered already: the user's module, or a known package."""
    if _is_registered(found.id):
        return
    if found.module is not None:
        before = set(gymnasium.registry)
        _import(found.module)
        if not _is_registered(found.id):
            own = sorted(set(gymnasium.registry) - before) or _registered_by(found.module)
            raise ValueError(_not_registered(found, own))
        return
    for package in sorted(_PACKAGES, key=lambda each: not found.id.startswith(each.prefix)):
        if _is_registered(found.id):
            return
        meant = found.id.startswith(package.prefix)
        if package.is_installed and (meant or not package.only_prefix):
            if package.module == "miniworld":
                _draw_without_a_window()
            gymnasium.register_envs(importlib.import_module(package.module))
        elif meant:
            return


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ValueError(
                f"there is no package {module} (--allow, or before the colon of the id): install it"
            ) from None
        raise ValueError(f"the package {module} needs one that is missing: {error}") from error
    except Exception as error:
        raise ValueError(f"the package {module} cannot be imported: {type(error).__name__}: {error}") from error


def _registered_by(module: str) -> list[str]:
    """Return the ids whose environments lie in a package."""
    top = module.partition(".")[0]
    return sorted(name for name, spec in gymnasium.registry.items() if str(spec.entry_point).startswith(top))


def _not_registered(found: Found, own: Sequence[str]) -> str:
    if not own:
        return (
            f"the package {found.module} registers no environment with Gymnasium when it is imported. Name its class "
            f"instead: 'environment.make={{_target_: {found.module}.CLASS, _partial_: true}}' environment.id=null "
            f"--allow {found.module}"
        )
    near = _nearest(found.id, own) or own[:4]
    some = f"It has {len(own)}, such as {', '.join(near)}"
    return f"the package {found.module} registers no environment '{found.id}'. {some}"


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
def _doom_in_a_temporary_folder() -> str:
    """Return the path of a script that starts Doom's engine in a temporary folder.

    The engine writes its settings to the folder in which it is started.
    """
    engine = Path(importlib.import_module("vizdoom").__file__ or "").parent / "vizdoom"
    if os.name != "posix" or not engine.exists():
        return str(engine)
    folder = Path(tempfile.mkdtemp(prefix="vizdoom_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    script = folder / "start"
    # Signals to the process group are meant for the run, which then saves: the engine ends when it is closed.
    command = f'cd {shlex.quote(str(folder))} && exec {shlex.quote(str(engine))} "$@"'
    script.write_text(f"#!/bin/sh\ntrap '' INT HUP TERM USR1\n{command}\n", encoding="utf-8")
    script.chmod(0o700)
    return str(script)


def _is_registered(environment_id: str) -> bool:
    try:
        gymnasium.spec(environment_id)
    except gymnasium.error.Error:
        return False
    return True


def _unknown(environment_id: str, trusted: Sequence[str]) -> str:
    for package in _PACKAGES:
        if environment_id.startswith(package.prefix) and not package.is_installed:
            return (
                f"the environment '{environment_id}' needs the package {package.module}: {install_hint(package.module)}"
            )
    near = _nearest(environment_id, gymnasium.registry)
    hint = f"Did you mean {' or '.join(near)}?" if near else "`gymnasium.pprint_registry()` lists those that exist."
    asked = f" {', '.join(trusted)} did not register it either." if trusted else ""
    others = [name for name in _built_on_gymnasium() if name not in trusted]
    installed = f" (installed here and built on Gymnasium: {', '.join(others)})" if others else ""
    example = next((name for name in others if name.partition("_")[0] in environment_id.lower()), "PACKAGE")
    return (
        f"Gymnasium has no environment '{environment_id}'.{asked} {hint} If a package of its own registers it, name "
        f"that{installed}: environment.id={example}:{environment_id} --allow {example}"
    )


def _nearest(environment_id: str, names: Iterable[str]) -> list[str]:
    """Return the names that look like an id, without those that share no more than the form of it."""
    lower = {name.lower(): name for name in names}
    return [lower[name] for name in difflib.get_close_matches(environment_id.lower(), lower, n=4, cutoff=0.7)]


def _built_on_gymnasium() -> list[str]:
    """Return the modules of installed packages that need Gymnasium and are neither it nor known here."""
    known = {"pamiq_exp", "gymnasium", *(each.module.partition(".")[0] for each in _PACKAGES)}
    found: set[str] = set()
    for distribution in distributions():
        if any(re.match(r"gymnasium\b(?![-_])", need) for need in distribution.requires or ()):
            found.add(module_of(distribution.metadata["Name"]))
    return sorted(found - known)
