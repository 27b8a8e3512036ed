"""The page that compares runs: curves over each other, and for two of them what `diff` shows."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import MutableMapping, Sequence
from pathlib import Path

from nicegui import run, ui

from pamiq_exp.analysis import Options, ReportError, Table, read_runs, run_differences, write_report
from pamiq_exp.analysis.differences import KINDS
from pamiq_exp.analysis.tables import text as cell_text
from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.charts import ChartGrid, legend
from pamiq_exp.dashboard.watched import WatchedRun

UPDATE_SECONDS = 2.0
_MOST_ROWS = 300


class ComparePage:
    """Builds the page and keeps its curves up to date."""

    def __init__(self, runs: Sequence[WatchedRun]) -> None:
        self._runs = runs

    def build(self) -> None:
        """Add the elements."""
        for watched in self._runs:
            watched.look()
        labels = [f"{watched.title} ({watched.place.key})" for watched in self._runs]
        with shell.element("section", "d-card"):
            shell.text("h1", f"{len(self._runs)} runs side by side", "d-title")
            legend(labels, [shell.address("/run", key=watched.place.key) for watched in self._runs])
        charts = ChartGrid(self._runs, labels)
        self._differences = shell.element("div", "d-side")
        with self._differences:
            ui.label("differences are shown for two runs" if len(self._runs) != 2 else "reading the runs").classes(
                "d-dim"
            )
        shell.repeat(UPDATE_SECONDS, charts.update)
        if len(self._runs) == 2:
            shell.repeat(0.01, self._show_differences, once=True)

    async def _show_differences(self) -> None:
        folders = [watched.folder for watched in self._runs]
        tables = await run.io_bound(_differences, folders)
        self._differences.clear()
        with self._differences:
            for table in tables or []:
                with shell.element("section", "d-card"):
                    shell.heading(table.title)
                    shell.plain_table(
                        table.columns, [[cell_text(cell) for cell in row] for row in table.rows[:_MOST_ROWS]]
                    )
                    if len(table.rows) > _MOST_ROWS:
                        ui.label(f"{len(table.rows) - _MOST_ROWS:,} more").classes("d-dim")
            equal = [kind for kind in KINDS if kind not in {table.name for table in tables or []}]
            if equal:
                ui.label(f"no difference in {', '.join(equal)}").classes("d-dim")


def _differences(folders: Sequence[Path]) -> list[Table]:
    first, second = read_runs(folders, records=2, processes=1)
    return run_differences(first, second)


class ReportPage:
    """Makes the report of runs and leads to it.

    Args:
        runs: What is reported.
        reports: Takes the page that was made, by the last part of its address.
    """

    def __init__(self, runs: Sequence[WatchedRun], reports: MutableMapping[str, bytes]) -> None:
        self._runs, self._reports = runs, reports

    def build(self) -> None:
        """Add the elements."""
        with shell.element("section", "d-card"):
            shell.text("h1", f"report of {len(self._runs)} run{'s' * (len(self._runs) != 1)}", "d-title")
            self._words = ui.label("reading runs and drawing figures; this takes some seconds").classes("d-dim d-text")
            self._link = shell.element("div")
        shell.repeat(0.01, self._make, once=True)

    async def _make(self) -> None:
        try:
            page = await run.io_bound(make_report, [watched.folder for watched in self._runs])
        except ReportError as error:
            self._words.set_text(str(error))
            return
        if page is not None:
            name = secrets.token_urlsafe(12)
            self._reports[name] = page
            self._words.set_text(
                "Done. `python -m pamiq_exp report PATH -o DIR` makes it with tables and figures as files."
            )
            with self._link:
                ui.link("open the report", f"/reports/{name}", new_tab=True)


def make_report(folders: Sequence[Path]) -> bytes:
    """Return the report of runs as one page of HTML. Raises ReportError."""
    runs = read_runs(folders, processes=1)
    with tempfile.TemporaryDirectory(prefix="pamiq_exp_report_") as place:
        return write_report(runs, Path(place), Options()).read_bytes()
