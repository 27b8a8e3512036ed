"""`python -m pamiq_exp`."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path


def _leave_current_folder() -> None:
    """Take the current folder off the import path, where `python -m` puts it first.

    A folder with somebody's config may hold a `numpy.py` too, and nobody should run it by standing there.
    The user's own package is found again once it is allowed by name (see `pamiq_exp.cli`).
    """
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]


def _until_nobody_reads(command_line: Callable[[], int]) -> int:
    """Return the exit status of a command line; that of any program where its reader, such as `head`, has left."""
    try:
        status = command_line()
        sys.stdout.flush()
    except BrokenPipeError:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        if not any(event & select.POLLERR for _, event in output.poll(0)):
            raise  # another pipe
        # What is still to be written has no reader; without this the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return status


if __name__ == "__main__":
    _leave_current_folder()

    from pamiq_exp.cli import main

    sys.exit(_until_nobody_reads(main))
