"""`python -m pamiq_exp`."""

from __future__ import annotations

import sys
from pathlib import Path


def _leave_current_folder() -> None:
    """Take the current folder off the import path, where `python -m` puts it first.

    A folder with somebody's config may hold a `numpy.py` too, and nobody should run it by standing there.
    The user's own package is found again once it is allowed by name (see `pamiq_exp.cli`).
    """
    if not sys.flags.safe_path and sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]


if __name__ == "__main__":
    _leave_current_folder()

    from pamiq_exp.cli import main

    sys.exit(main())
