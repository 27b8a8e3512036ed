"""What the user sees while a run goes on, and when it is over."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.live import Live
from rich.text import Text

from pamiq_exp.formatting import plain_text
from pamiq_exp.run_folder.records import Record, Value
from pamiq_exp.streams import replace_unknown_characters
from pamiq_exp.tracking.progress import Progress, summary_panel
from pamiq_exp.tracking.tracker import RunInfo, Tracker

DrawnT = TypeVar("DrawnT", Console, Live)

_log = logging.getLogger(__name__)


class TerminalTracker(Tracker):
    """Shows progress while the run goes on and the final metrics when it is over.

    On a terminal a panel is redrawn in place. Elsewhere (a file, a pipe, a sweep) it is one line every
    `line_seconds`. Warnings that are logged meanwhile are shown above it. If it cannot be shown (the pipe is closed,
    the terminal or the disk is gone), nothing more is: how a run is shown never decides how it ends.

    Args:
        refresh_seconds: Seconds between two drawings of the panel.
        line_seconds: Seconds between two lines where there is no terminal.
        console: Where to show it; by default the standard output.
    """

    def __init__(
        self, refresh_seconds: float = 0.5, line_seconds: float = 10.0, console: Console | None = None
    ) -> None:
        self.refresh_seconds = refresh_seconds
        self.line_seconds = line_seconds
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._quiet = False
        self._warnings = _WarningQueue()
        self._progress = Progress(RunInfo(folder=Path(), name="", experiment_name="", seed=0))
        self._shown_at = -math.inf

    def start(self, run: RunInfo) -> None:
        self._progress = Progress(run)
        replace_unknown_characters()
        logging.getLogger().addHandler(self._warnings)
        if self._console.is_terminal and not self._console.is_jupyter:
            self._live = Live(self._progress.panel(), console=self._console, auto_refresh=False, transient=True)
            self._show(lambda live: live.start(refresh=True), self._live)
            # A process that is killed could not show it again.
            self._show(lambda console: console.show_cursor(True), self._console)
        else:
            self._print(Text(f"{plain_text(run.experiment_name)}  seed {run.seed}  {plain_text(str(run.folder))}"))

    def write(self, record: Record) -> None:
        self._progress.add(record)

    def tick(self) -> None:
        self._print_warnings()
        now = time.monotonic()
        if now - self._shown_at < (self.refresh_seconds if self._live else self.line_seconds):
            return
        self._shown_at = now
        if self._live:
            panel = self._progress.panel()
            self._show(lambda live: live.update(panel, refresh=True), self._live)
        elif self._progress.metrics:
            self._print(Text(self._progress.line()))

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        logging.getLogger().removeHandler(self._warnings)
        if self._live:
            live, self._live = self._live, None
            self._show(lambda live: live.stop(), live)
        self._print_warnings()
        panel = summary_panel(self._progress.run, exit_code, summary)
        self._show(lambda console: console.print(panel), self._console)

    def _print_warnings(self) -> None:
        while self._warnings.lines:
            self._print(Text(self._warnings.lines.popleft(), style="yellow"))

    def _print(self, text: Text) -> None:
        self._show(lambda console: console.print(text, soft_wrap=True), self._console)

    def _show(self, draw: Callable[[DrawnT], object], on: DrawnT) -> None:
        """Draw, unless that has failed before."""
        if self._quiet:
            return
        try:
            draw(on)
        # Of a closed pipe rich makes SystemExit; a closed file and an unknown character are ValueErrors.
        except (OSError, ValueError, SystemExit) as error:
            self._quiet = True
            _log.info("the run is no longer shown: %s", error)


class _WarningQueue(logging.Handler):
    """Keeps warnings for the next tick: a thread that logs must not wait for the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(plain_text(f"{record.levelname.lower()}: {record.getMessage()}"))
