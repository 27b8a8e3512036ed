"""Worlds to act in. Each is loaded when its name is first used: one does not need what another needs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pamiq_exp.environments.gymnasium_adapter import GymnasiumEnvironment
    from pamiq_exp.environments.noise_world import NoiseWorld

_HOME = {
    "GymnasiumEnvironment": "gymnasium_adapter",
    "NoiseWorld": "noise_world",
}

__all__ = ["GymnasiumEnvironment", "NoiseWorld"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
