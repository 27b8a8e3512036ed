"""What the current folder has no say in: where modules come from, and how libraries are set up.

A user who stands in a folder from someone else runs nothing that lies there, and takes no settings from it. Each
library that this package uses was looked through for files that it reads there; SECURITY.md lists them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH = "PYTHONSAFEPATH"
"""Python looks for no modules in the current folder where this environment variable is set."""


def forget_current_folder() -> None:
    """Make this process, and all that it starts, take no modules and no settings from the current folder.

    For programs, which call it before they import anything else. A script of the user's own keeps its path.
    """
    os.environ[SAFE_PATH] = "1"
    if not sys.flags.safe_path and sys.path[:1] == [""]:  # of `python -c`; that of `python -m` has left already
        del sys.path[0]
    if os.path.lexists("matplotlibrc"):
        # Libraries import matplotlib on their own, so it is imported before them.
        with elsewhere("matplotlibrc"):
            import matplotlib  # noqa: F401


@contextmanager
def elsewhere(*settings: str) -> Iterator[None]:
    """Stand in the root folder meanwhile if one of these files lies in the current folder, so that it is not read.

    Args:
        settings: Files that a library reads from the current folder when it is imported or set up.
    """
    if not any(os.path.lexists(name) for name in settings):
        yield
        return
    here = os.open(os.curdir, os.O_RDONLY | os.O_DIRECTORY)
    os.chdir(os.sep)
    try:
        yield
    finally:
        os.fchdir(here)
        os.close(here)


@contextmanager
def workers_forget_it() -> Iterator[None]:
    """Let the processes that are started meanwhile look for no modules in the current folder."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def find_packages_here() -> None:
    """Let the user's own packages be found in the current folder, after everything that is installed."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
