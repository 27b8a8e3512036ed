"""`python -m pamiq_exp diff RUN RUN`: what differs in overrides, config, code, versions, machine and results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pamiq_exp.analysis import ReportError, Run, Table, find_runs, read_runs, run_differences
from pamiq_exp.analysis.tables import text
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.paths import typed_path

_KINDS = ("overrides", "config", "code", "versions", "machine", "results")
_STATE_COLOURS = {"finished": "green", "failed": "red", "stopped": "yellow", "running": "cyan"}


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
        console.print(_rich(table))
    equal = [kind for kind in _KINDS if kind not in {table.name for table in tables}]
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
        (printable(run.state), _STATE_COLOURS.get(run.state, "")),
        printable(f"  {run.experiment_name}, seed {run.seed}"),
    )


def _rich(table: Table) -> RichTable:
    shown = RichTable(
        title=f"\n{table.title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for index, column in enumerate(table.columns):
        numbers = table.name == "results" and index > 0
        shown.add_column(
            column, justify="right" if numbers else "left", overflow="fold", style="" if index in (1, 2) else "dim"
        )
    if table.columns:
        shown.columns[0].style = "cyan"
        shown.columns[0].overflow = "fold"
    for row in table.rows:
        shown.add_row(*(Text(printable(text(cell))) for cell in row))
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pamiq_exp diff", description="What differs between two runs: config, code, versions, results."
    )
    parser.add_argument("runs", nargs=2, type=typed_path, metavar="RUN", help="a run folder, such as outputs/NAME/DATE")
    return parser
