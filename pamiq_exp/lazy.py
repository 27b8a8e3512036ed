"""Names of a package that are loaded when they are first used."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module

_MANY = 100_000
"""Objects that an import leaves behind, from which on they are worth keeping out."""


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package that imports each name from its module when it is asked for.

    Args:
        package: The package's `__name__`.
        homes: The module within the package that holds each name.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with without_collections():
            value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return load


@contextmanager
def without_collections() -> Iterator[None]:
    """Import without garbage collections, and keep what came out of later ones if it is a large library.

    Torch and Lightning make some hundred thousand objects that are never freed. The collector would go through them
    again and again while they are imported, and in each full collection after that.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _MANY:
            gc.freeze()
        gc.enable()
