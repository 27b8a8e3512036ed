"""Packages that only some users need: which extra brings which module, and what to type to install it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

NAME = "pamiq_exp"

EXTRA_OF_MODULE = {
    "ale_py": "worlds",
    "av": "video",
    "cv2": "vrchat",
    "equinox": "jax",
    "hydra_plugins.hydra_joblib_launcher": "sweep",
    "hydra_plugins.hydra_submitit_launcher": "sweep",
    "jax": "jax",
    "minigrid": "worlds",
    "miniworld": "worlds",
    "nicegui": "dashboard",
    "optax": "jax",
    "optuna": "sweep",
    "pygame": "play",
    "pythonosc": "vrchat",
    "ray": "ray",
    "rtgym": "worlds",
    "tensorboard": "tensorboard",
    "vizdoom": "worlds",
}
"""Which extra of this package brings a module that is not always there."""


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation.

    pip takes the name for the package that is installed already, a wheel as well as a clone installed with
    `--editable`. A clone that is only on the path is named by its folder.
    """
    try:
        distribution(NAME)
        where = NAME
    except PackageNotFoundError:
        where = str(Path(__file__).resolve().parent.parent)
    return f"pip install '{where}[{extra}]'"


def install_hint(module: str) -> str:
    """Return what to type when a module is missing: the extra that brings it, if there is one."""
    package = module.partition(".")[0]
    extra = EXTRA_OF_MODULE.get(module) or EXTRA_OF_MODULE.get(package)
    return install_command(extra) if extra else f"pip install the package that holds {package}"
