"""How inner loops are compiled: those of the noise world, those of the scan.

The machine code is kept in a folder that is named by the sources of the package. Numba's own cache notices changes
of a function's own file only, not of the functions and types of other files that it is compiled with.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from pamiq_exp.current_folder import elsewhere

_SETTINGS = ".numba_config.yaml"

try:
    with elsewhere(_SETTINGS):
        import numba
        import numba.core.config

    # Numba reads the file again whenever it compiles. There is no public way to tell it not to.
    assert numba.core.config._config_fname == _SETTINGS
    numba.core.config._config_fname = ""
    HAS_NUMBA = True
except ImportError:
    HAS_NUMBA = False
"""Whether functions are compiled. Some Pythons have no numba; functions then run as they are written, slowly."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def compiled(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a function with numba: without the GIL, so that a world goes on while models train, and the
    other way round; and without fast-math, so that every machine computes the same bits.

    The machine code is cached beside the package, or in the user's cache folder where the package is
    read-only; where nothing can be written, it is compiled anew in each process. `NUMBA_CACHE_DIR` wins.
    """
    return _compile(function, inline=False)


def inlined(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Compile a small function into those that call it: for what is called for each pixel or column."""
    return _compile(function, inline=True)


def _compile(function: Callable[Parameters, Result], *, inline: bool) -> Callable[Parameters, Result]:
    if not HAS_NUMBA:
        return function
    settings = vars(numba.core.config)
    chosen = settings["CACHE_DIR"]
    settings["CACHE_DIR"] = chosen or _cache_folder()
    try:
        dispatcher = numba.njit(nogil=True, cache=True, forceinline=inline)(function)
    except RuntimeError:
        dispatcher = numba.njit(nogil=True, forceinline=inline)(function)
    finally:
        settings["CACHE_DIR"] = chosen
    return cast("Callable[Parameters, Result]", dispatcher)


@functools.cache
def _cache_folder() -> str:
    """Return the folder for the machine code of these very sources, and remove those of earlier ones beside it.

    Empty, which leaves the choice to numba, where the package cannot be written.
    """
    package = Path(__file__).parent
    folders = package / "__pycache__"
    folder = folders / f"numba-{_source_key(package)}"
    if folder.is_dir():
        return str(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    for earlier in folders.glob("numba-*"):
        if earlier != folder:
            shutil.rmtree(earlier, ignore_errors=True)
    return str(folder)


def _source_key(package: Path) -> str:
    """Return what changes with any file of the package that holds compiled code, or types that it takes."""
    key = hashlib.sha256(numba.__version__.encode())
    for source in sorted([*package.glob("environments/noise_world/*.py"), *package.glob("scan/*.py")]):
        key.update(f"{source.name} {source.stat().st_size} {source.stat().st_mtime_ns}".encode())
    return key.hexdigest()[:16]
