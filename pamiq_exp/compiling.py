"""How inner loops are compiled: those of a world, those of the scan.

Numba's cache notices changes of a function's own file only. Whoever edits a function that others are compiled
with (`drawing.mix`, `moving.clear_of_walls`, all of `sprites`) must empty the cache: `make clean` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from pamiq_exp.current_folder import elsewhere

_SETTINGS = ".numba_config.yaml"

with elsewhere(_SETTINGS):
    import numba
    import numba.core.config

# Numba reads the file again whenever it compiles. There is no public way to tell it not to.
assert numba.core.config._config_fname == _SETTINGS
numba.core.config._config_fname = ""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function with numba: without the GIL, so that a world goes on while models train, and the
    other way round; and without fast-math, so that every machine computes the same bits.

    The machine code is cached beside the source, or in the user's cache folder where the package is
    read-only; where nothing can be written, it is compiled anew in each process.
    """
    return _compile(function, inline=False)


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a small function into those that call it: for what is called for each pixel or column."""
    return _compile(function, inline=True)


def _compile(function: Callable[Parameters, Result], *, inline: bool) -> Callable[Parameters, Result]:
    try:
        dispatcher = numba.njit(nogil=True, cache=True, forceinline=inline)(function)
    except RuntimeError:
        dispatcher = numba.njit(nogil=True, forceinline=inline)(function)
    return cast("Callable[Parameters, Result]", dispatcher)
