"""The addresses of the page and what each of them shows."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Header, Query, Response
from nicegui import run, ui

from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.compare_page import ComparePage, ReportPage
from pamiq_exp.dashboard.folder_page import MOST_COMPARED, FolderPage
from pamiq_exp.dashboard.run_page import RunPage
from pamiq_exp.dashboard.sweep_page import SweepPage
from pamiq_exp.dashboard.watched import Watched, WatchedRun
from pamiq_exp.run_folder.media import media_type, read_media
from pamiq_exp.sweeps.folder import SweepError, SweepFolder

MOST_REPORTS, MOST_REPORTED = 20, 5_000
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"


class Pages:
    """Builds the page of each address.

    Args:
        watched: The runs.
        appearance: Light or dark.
        reports: The reports that were made, by the last part of their address.
    """

    def __init__(self, watched: Watched, appearance: shell.Appearance, reports: OrderedDict[str, bytes]) -> None:
        self._watched, self._appearance, self._reports = watched, appearance, reports

    async def root(self) -> None:
        """The run or sweep that the command was given, or all below the folder."""
        await run.io_bound(self._watched.runs.look)
        place = self._watched.runs.find(".")
        if place is None:
            with self._frame("runs"):
                FolderPage(self._watched).build()
        elif place.kind == "run":
            await self.run(".")
        else:
            await self.sweep(".")

    async def run(self, key: str = ".") -> None:
        """One run."""
        watched = await run.io_bound(self._watched.run, key)
        if watched is not None:
            await run.io_bound(watched.look_at_trees)
        with self._frame(watched.title if watched is not None else "run"):
            if watched is None:
                self._missing(f"there is no run '{key[:200]}' here")
            else:
                RunPage(watched, self._watched).build()

    async def sweep(self, key: str = ".") -> None:
        """One sweep."""
        place = self._watched.runs.find(key)
        with self._frame("sweep"):
            if place is None or place.kind != "sweep":
                self._missing(f"there is no sweep '{key[:200]}' here")
                return
            try:
                SweepPage(place, SweepFolder(place.folder), self._watched).build()
            except SweepError as error:
                self._missing(str(error))

    async def compare(self, key: Annotated[list[str] | None, Query()] = None) -> None:
        """Several runs side by side."""
        runs = await self._runs(key or [], MOST_COMPARED)
        with self._frame("compare"):
            if len(runs) < 2:
                self._missing("name at least two runs that are here")
            else:
                ComparePage(runs).build()

    async def report(self, key: Annotated[list[str] | None, Query()] = None) -> None:
        """The report of several runs, of all without a choice."""
        keys = key or [place.key for place in self._watched.runs.look() if place.kind == "run"]
        runs = await self._runs(keys, MOST_REPORTED)
        while len(self._reports) >= MOST_REPORTS:
            self._reports.popitem(last=False)
        with self._frame("report"):
            if runs:
                ReportPage(runs, self._reports).build()
            else:
                self._missing("there are no runs to report on")

    def media(self, key: str, name: str, range: Annotated[str, Header()] = "") -> Response:  # noqa: A002
        """A picture or video of a run, or a part of it, as players ask for."""
        place = self._watched.runs.find(key)
        try:
            data = read_media(place.folder, name) if place is not None and place.kind == "run" else None
        except OSError:
            data = None
        if data is None:
            return Response("404: no such picture or video\n", 404, media_type="text/plain")
        kind = media_type(name)
        headers = {"accept-ranges": "bytes", "content-security-policy": "default-src 'none'; sandbox"}
        span = _span(range, len(data))
        if span is None:
            return Response(data, 200, headers, kind)
        first, last = span
        headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
        return Response(data[first : last + 1], 206, headers, kind)

    def finished_report(self, name: str) -> Response:
        """A report that was made."""
        page = self._reports.get(name)
        if page is None:
            return Response("404: no such report; make it again\n", 404, media_type="text/plain")
        return Response(page, 200, {"content-security-policy": _REPORT_POLICY}, "text/html; charset=utf-8")

    async def _runs(self, keys: list[str], most: int) -> list[WatchedRun]:
        found = await run.io_bound(lambda: [self._watched.run(key) for key in dict.fromkeys(keys[:most])])
        return [watched for watched in found or [] if watched is not None]

    @contextmanager
    def _frame(self, title: str) -> Iterator[None]:
        watched = self._watched
        with shell.page(title, self._appearance, root=watched.title, control=watched.control):
            yield

    def _missing(self, words: str) -> None:
        ui.label(words).classes("d-notice")
        ui.link("all runs", "/")


def _span(asked: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that a Range header asks for; None for all."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or not size or not (match[1] or match[2]):
        return None
    if match[1]:
        first, last = int(match[1][:18]), int(match[2][:18]) if match[2] else size - 1
    else:
        first, last = max(0, size - int(match[2][:18])), size - 1
    return (first, min(last, size - 1)) if first <= min(last, size - 1) else None
