"""`python -m pamiq_exp console RUN [status|pause|resume|save|stop|intervene]`: watch and steer a live run."""

from __future__ import annotations

import argparse
import select
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.formatting import number_text, one_line, printable
from pamiq_exp.jobs.console_socket import COMMANDS, ConsoleError, ask
from pamiq_exp.jobs.paths import typed_path
from pamiq_exp.run_folder.records import AXES

TYPED = tuple(command for command in COMMANDS if command != "view")
"""Commands whose answer can be read on a terminal."""

_KEYS = {"p": "pause", "r": "resume", "s": "save", "i": "intervene", "x": "stop"}


def main(words: Sequence[str]) -> int:
    """Send one command, or show the run until the user leaves. Returns the exit status."""
    arguments = _parser().parse_args(words)
    command = arguments.command
    try:
        if command is None and sys.stdin.isatty() and sys.stdout.isatty():
            _watch(arguments.run)
        else:
            _send(arguments.run, command or "status")
    except ConsoleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _send(folder: Path, command: str) -> None:
    result = ask(folder, command)
    if command != "status":
        print(printable(str(result)))
        return
    for name, value in result["status"].items():
        print(printable(f"{name}: {_number(value)}"))


def _watch(folder: Path) -> None:
    message = ""
    console = Console()
    with _single_keys(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(screen(folder, ask(folder, "status"), message), refresh=True)
            key = _key(0.5)
            if key == "q":
                return
            if key in _KEYS:
                try:
                    message = str(ask(folder, _KEYS[key]))
                except ConsoleError as error:
                    message = str(error)


def screen(folder: Path, result: Mapping[str, Any], message: str = "") -> RenderableType:
    """Return one view of a run: its state, its metrics and its newest records."""
    status = result["status"]
    color = {"running": "green", "paused": "yellow"}.get(status["state"], "red")
    run = Table.grid(padding=(0, 2))
    for name, value in status.items():
        if name != "state":
            run.add_row(Text(name.replace("_", " "), style="dim"), _number(value))
    panels: list[RenderableType] = [Panel(run, title=Text(one_line(str(status["state"])), style=f"bold {color}"))]
    for source, record in result["records"].items():
        rows = Table.grid(padding=(0, 2))
        for name, value in record.items():
            if name not in AXES:
                rows.add_row(Text(name.removeprefix(f"{source}/"), style="dim"), _number(value))
        panels.append(Panel(rows, title=Text(f"{source}, step {record['environment_step']:,}")))
    keys = Text("p pause   r resume   s save   i take over, give back   x stop   q leave", style="bold")
    return Group(Text(str(folder), style="dim"), Columns(panels), keys, Text(message))


def _number(value: object) -> str:
    return number_text(value) if isinstance(value, (int, float)) else one_line(str(value))


def _key(seconds: float) -> str:
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return sys.stdin.read(1) if ready else ""


@contextmanager
def _single_keys() -> Iterator[None]:
    """Read keys without waiting for the end of a line."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _parser() -> argparse.ArgumentParser:
    description = "Watch and steer a live run; without a command, with keys on a terminal."
    parser = command_parser("console", description, usage=f"RUN [{'|'.join(TYPED)}]")
    parser.add_argument("run", type=typed_path, metavar="RUN", help="a run folder, such as outputs/NAME/DATE")
    parser.add_argument("command", nargs="?", choices=TYPED)
    return parser
