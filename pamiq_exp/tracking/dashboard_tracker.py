"""Starts the page of a run together with it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO

from pamiq_exp.extras import install_hint
from pamiq_exp.run_folder.records import Record, Value
from pamiq_exp.tracking.tracker import RunInfo, Tracker

_FINISH_SECONDS = 5.0


class DashboardTracker(Tracker):
    """Serves the page of the run in a process of its own, which ends with the run.

    The address is printed when the page is there. `python -m pamiq_exp dashboard RUN` shows the run afterwards.

    Args:
        port: Where the page is served; if it is in use, the next free port.
        control: Whether the page may pause, resume, save and stop the run.
        browser: Whether to open a browser.
    """

    def __init__(self, port: int = 8080, control: bool = False, browser: bool = False) -> None:
        self.port, self.control, self.browser = port, control, browser
        self._process: subprocess.Popen[str] | None = None

    def start(self, run: RunInfo) -> None:
        """See `Tracker`."""
        if importlib.util.find_spec("nicegui") is None:
            raise ModuleNotFoundError(
                f"tracking=dashboard needs the package nicegui: {install_hint('nicegui')}, or leave it out"
            )
        command = [sys.executable, "-P", "-m", "pamiq_exp", "dashboard", str(run.folder)]
        words = [*command, "--port", str(self.port), "--with-parent"]
        words += ["--control"] if self.control else []
        words += [] if self.browser else ["--no-browser"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        threading.Thread(target=_tell_address, args=(self._process.stdout,), name="dashboard", daemon=True).start()

    def write(self, record: Record) -> None:
        """Nothing: the page follows `metrics.jsonl`."""

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        """End the page."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(_FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _tell_address(lines: IO[str]) -> None:
    """Print the address, or why there is none, and that a port is in use; read on, so that the page is not held up."""
    for number, line in enumerate(lines):
        if number == 0 or (number == 1 and line.startswith("port ")):
            print(f"dashboard: {line.strip()}", file=sys.stderr)
