"""`python -m pamiq_exp dashboard [RUN | FOLDER]`: look at runs in a browser, live and afterwards."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pamiq_exp.cli._arguments import command_parser, whole_number
from pamiq_exp.dashboard import DashboardError, Settings, serve


def main(words: Sequence[str]) -> int:
    """Serve the page until it is interrupted. Returns 0, or 2 if it cannot be served as asked."""
    arguments = _parser().parse_args(words)
    settings = Settings(
        root=arguments.folder,
        host=arguments.host,
        port=arguments.port,
        control=arguments.control,
        browser=arguments.browser,
        with_parent=arguments.with_parent,
    )
    try:
        serve(settings, lambda line: print(line, flush=True))
    except DashboardError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("dashboard", "Look at runs in a browser, live and afterwards.")
    add = parser.add_argument
    add("folder", nargs="?", type=Path, default=Path("outputs"), metavar="RUN | FOLDER",
        help="a run, a sweep, or a folder with some below it (outputs)")  # fmt: skip
    add(
        "--port",
        type=whole_number(0, 65_535),
        default=Settings.port,
        metavar="N",
        help="where the page is served (8080; 0: any free port)",
    )
    add("--host", default=Settings.host, help="what to listen on (127.0.0.1: this machine only)")
    add("--control", action="store_true", help="let the page pause, resume, save and stop runs")
    add("--no-browser", action="store_false", dest="browser", help="only print the address")
    add("--with-parent", action="store_true", help=argparse.SUPPRESS)
    return parser
