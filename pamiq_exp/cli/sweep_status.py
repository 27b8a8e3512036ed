"""`python -m pamiq_exp sweep-status DIR`: the progress of a sweep's jobs, read from its folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.formatting import plain_text
from pamiq_exp.jobs.paths import typed_path
from pamiq_exp.sweeps.folder import SweepError, SweepFolder
from pamiq_exp.sweeps.view import SweepView, jobs_table

_MOST_ROWS = 40


def main(words: Sequence[str]) -> int:
    """Show a sweep. Returns 0, or 1 if some jobs ended without having finished, or 2 if it is no sweep."""
    arguments = _parser().parse_args(words)
    try:
        folder = SweepFolder(arguments.folder)
        view = SweepView(folder.plan, arguments.folder.name)
        view.update(folder.jobs())
    except SweepError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(jobs_table(view, None if arguments.all else _MOST_ROWS))
    if not arguments.all and len(view.jobs) > _MOST_ROWS:
        console.print(Text(f"... {len(view.jobs) - _MOST_ROWS} more: --all shows them"))
    console.print()
    console.print(Text(plain_text(view.line())), soft_wrap=True)
    unfinished = [job for job in view.jobs if job.state in ("failed", "lost", "stopped")]
    if unfinished:
        console.print(Text("the same command again with --resume does what is missing"), soft_wrap=True)
    return int(bool(unfinished))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("sweep-status", "Show the progress of a sweep's jobs.")
    parser.add_argument(
        "folder", type=typed_path, metavar="DIR", help="the sweep's folder, such as outputs/sweeps/NAME/DATE"
    )
    parser.add_argument("--all", action="store_true", help="show every job")
    return parser
