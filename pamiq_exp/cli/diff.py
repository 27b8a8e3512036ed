"""`python -m pamiq_exp diff RUN RUN`: what differs in overrides, config, code, versions, machine and results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from pamiq_exp.analysis import ReportError, Run, find_runs, read_runs, run_differences
from pamiq_exp.analysis.differences import KINDS
from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.cli._tables import rich_table
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.paths import typed_path

_STATE_COLORS = {"finished": "green", "failed": "red", "stopped": "yellow", "running": "cyan"}


def main(words: Sequence[str]) -> int:
    """Show in what two runs differ. Returns 0, or 2 if they cannot be read."""
    arguments = _parser().parse_args(words)
    try:
        runs = [_read(path) for path in arguments.runs]
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    show_differences(runs[0], runs[1], Console())
    return 0


def show_differences(first: Run, second: Run, console: Console) -> None:
    """Print what differs between two runs, and in which kinds of things nothing does."""
    tables = run_differences(first, second)
    console.print(_heading("first", first))
    console.print(_heading("second", second))
    for table in tables:
        console.print(rich_table(table))
    equal = [kind for kind in KINDS if kind not in {table.name for table in tables}]
    if equal:
        console.print(Text(f"no difference in {', '.join(equal)}", style="dim"))
    for run, name in ((first, "first"), (second, "second")):
        for detail in run.errors:
            console.print(Text(printable(f"{name}: {detail}"), style="red"))


def _read(path: Path) -> Run:
    folders = find_runs([path])
    if len(folders) > 1:
        listed = ", ".join(folder.name for folder in folders[:5])
        raise ReportError(f"{path} holds {len(folders)} runs: name one of them ({listed}, ...)")
    return read_runs(folders, records=2)[0]


def _heading(name: str, run: Run) -> Text:
    return Text.assemble(
        (f"{name:<7}", "bold"),
        printable(str(run.folder)),
        "  ",
        (printable(run.state), _STATE_COLORS.get(run.state, "")),
        printable(f"  {run.experiment_name}, seed {run.seed}"),
    )


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("diff", "Compare two runs: config, code, versions, results.")
    parser.add_argument("runs", nargs=2, type=typed_path, metavar="RUN", help="a run folder, such as outputs/NAME/DATE")
    return parser
