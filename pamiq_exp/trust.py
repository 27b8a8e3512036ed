"""Which packages hold parts of experiments, and which of the user's own may be imported by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import packages_distributions
from importlib.util import find_spec

PART_PACKAGES = (
    "agents",
    "buffers",
    "environments",
    "interaction",
    "metrics",
    "models",
    "recording",
    "rewards",
    "tracking",
    "trainers",
)
"""Packages of ours whose public classes are parts of experiments, which a config may name."""

_trusted: ContextVar[tuple[str, ...]] = ContextVar("trusted", default=())


def trusted_packages() -> tuple[str, ...]:
    """Return the packages and modules that may be imported here: none, unless a config is built with `--allow`."""
    return _trusted.get()


@contextmanager
def trusting(packages: Sequence[str]) -> Iterator[None]:
    """Let what is called inside import these packages and modules, and what lies below them."""
    token = _trusted.set(tuple(packages))
    try:
        yield
    finally:
        _trusted.reset(token)


def module_of(package: str) -> str:
    """Return the module of a package that is called by the name of either: `highway-env` or `highway_env`.

    A name that nothing installed has is returned as it is, with `_` for `-` where that makes it the name of a module.
    """
    module = package.replace("-", "_")
    if not all(part.isidentifier() for part in module.split(".")):
        return package
    if "." in module or (module == package and find_spec(module) is not None):
        return module
    provided = [name for name, owners in packages_distributions().items() if module.lower() in map(_as_module, owners)]
    return module if module in provided or len(provided) != 1 else provided[0]


def _as_module(distribution: str) -> str:
    return distribution.replace("-", "_").lower()
