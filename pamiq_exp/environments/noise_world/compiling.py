"""How this world's inner loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function with numba: without the GIL, so that training goes on while the world renders,
    and without fast-math, so that every machine computes the same bits.

    The machine code is cached beside the source, or in the user's cache folder where the package is
    read-only; where nothing can be written, it is compiled anew in each process.
    """
    try:
        dispatcher = numba.njit(nogil=True, cache=True, forceinline=True)(function)
    except RuntimeError:
        dispatcher = numba.njit(nogil=True)(function)
    return cast("Callable[Parameters, Result]", dispatcher)
