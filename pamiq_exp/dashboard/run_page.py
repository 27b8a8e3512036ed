"""The page of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from nicegui import run, ui

from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.charts import ChartGrid
from pamiq_exp.dashboard.live import CONTROLS, ReadOnlyError
from pamiq_exp.dashboard.other_runs import OtherRuns
from pamiq_exp.dashboard.reader import Setting, list_checkpoints, read_log, read_settings
from pamiq_exp.dashboard.watched import Status, Watched, WatchedRun
from pamiq_exp.formatting import bytes_text, printable
from pamiq_exp.jobs.console_socket import ConsoleError
from pamiq_exp.run_folder.media import StoredFile, list_media
from pamiq_exp.run_folder.reader import RunFiles, mapping
from pamiq_exp.run_folder.statistics import STATISTICS

UPDATE_SECONDS, PICTURE_SECONDS = 1.0, 0.12
INTERVENED = "a person acts: the commands of the agent are withheld until they are given back"
_BUTTONS = {"intervene": "take over"}
_MOST_LOG_LINES, _MOST_SETTINGS = 1000, 200

_MACHINE = (
    "step_milliseconds_p50", "step_milliseconds_p99", "deadline_misses", "observation_age_seconds",
    "observation_age_milliseconds_p99", "dropped", "records_waiting", "pending", "model_version", "model_age_seconds",
    "failed_writes", "steps_per_second", "training_steps", "training_steps_per_second", "memory_bytes", "load",
)  # fmt: skip
"""The statistics that are shown."""

_MACHINE_RECORDS = {
    "observation_age_milliseconds_p99": "interaction/time/observation_age_milliseconds_p99",
    "step_milliseconds_p50": "interaction/time/step_milliseconds_p50",
    "failed_writes": "interaction/time/failed_writes",
}
"""Where only the records of a live run have it."""


class RunPage:
    """Builds the page and keeps it up to date."""

    def __init__(self, watched: WatchedRun, around: Watched) -> None:
        self._run = watched
        self._around = around
        self._control = around.control
        self._buttons: dict[str, ui.button] = {}
        self._images: dict[str, ui.element] = {}
        self._tab = "curves"
        self._alive = False

    def build(self) -> None:
        """Add the elements."""
        self._header()
        self._damage = shell.Notices()
        with ui.tabs(on_change=self._change_tab).props("align=left no-caps dense inline-label outside-arrows") as tabs:
            for name in ("curves", "machine", "config", "log", "files"):
                ui.tab(name)
        with ui.tab_panels(tabs, value="curves", animated=False).props("keep-alive"):
            with ui.tab_panel("curves"), shell.element("div", "d-run") as self._columns:
                self._views()
                with shell.element("div", "d-side"):
                    others = shell.element("div")
                    self._charts = ChartGrid([self._run], [self._run.title])
                    with others:
                        OtherRuns(self._around, self._run, self._charts.show)
            with ui.tab_panel("machine"), shell.element("section", "d-card d-narrow"):
                shell.heading("machine")
                self._machine = shell.facts_box()
            with ui.tab_panel("config"):
                self._config = ConfigView(self._run)
            with ui.tab_panel("log"):
                self._log = LogView(self._run)
            with ui.tab_panel("files"):
                self._files = FilesView(self._run)
        shell.repeat(UPDATE_SECONDS, self._update)
        shell.repeat(PICTURE_SECONDS, self._update_pictures)

    def _header(self) -> None:
        with shell.element("section", "d-card"):
            with shell.element("div", "d-row"):
                shell.text("h1", self._run.title, "d-title")
                self._state = shell.StateMark()
                self._progress_text = ui.label().classes("d-dim")
            with shell.element("div", "d-row"):
                with shell.element("div", "d-progress").props('role="progressbar" aria-label="progress"') as self._bar:
                    self._done = shell.element("div").style("width: 0%")
                if self._control:
                    with shell.element("div", "d-row"):
                        for name in CONTROLS:
                            button = ui.button(_BUTTONS.get(name, name), on_click=self._command(name))
                            self._buttons[name] = button.props("dense outline no-caps")
            self._reason = ui.label().classes("d-text d-dim d-reason")
            ui.label(self._run.place.key if self._run.place.key != "." else str(self._run.folder)).classes(
                "d-dim d-text"
            )

    def _views(self) -> None:
        with shell.element("section", "d-card") as self._view_card:
            shell.heading("live view")
            self._view_note = ui.label("no live view yet").classes("d-dim d-text")
            self._pictures = shell.element("div", "d-pictures")

    def _command(self, name: str) -> Any:
        async def pass_on() -> None:
            try:
                answer = await run.io_bound(self._run.live.command, name)
                ui.notify(str(answer))
            except (ConsoleError, ReadOnlyError) as error:
                ui.notify(str(error), type="negative")
            await self._update()

        return pass_on

    async def _update(self) -> None:
        await run.io_bound(self._run.look)
        status = await run.io_bound(self._run.status)
        if status is None:
            return
        self._alive = status.live is not None
        self._show_status(status)
        self._machine(machine_facts(status, self._run))
        await self._charts.update()
        if self._tab == "log":
            await self._log.update()

    def _show_status(self, status: Status) -> None:
        self._state.set(status.state)
        intervened = bool((status.live or {}).get("intervened"))
        reason = INTERVENED if intervened else status.reason
        self._reason.set_text(printable(reason))
        self._reason.set_visibility(bool(reason))
        self._damage.set(self._run.damage())
        self._progress_text.set_text(progress_words(status, self._run.files))
        share = 100 * (status.fraction or 0.0)
        self._bar.set_visibility(status.fraction is not None)
        self._bar.props(f'aria-valuenow="{share:.0f}"')
        self._done.style(f"width: {share:.1f}%")
        for name, button in self._buttons.items():
            button.set_enabled(self._alive and (name != "resume" or status.state in ("paused", "pausing")))
            if name == "intervene":
                button.set_text("give back" if intervened else "take over")
        if not self._images:
            self._view_note.set_text(
                "this run shows no picture" if self._alive else "no live view: the run is not alive"
            )
        elif not self._alive:
            self._view_note.set_text("the newest view before the run ended")
        self._view_note.set_visibility(not self._images or not self._alive)
        self._show_views(bool(self._images) or self._alive)

    def _show_views(self, shown: bool) -> None:
        self._view_card.set_visibility(shown)
        self._columns.style("grid-template-columns: minmax(0, 1fr)" if not shown else "grid-template-columns: ")

    async def _update_pictures(self) -> None:
        if not self._alive or self._tab != "curves":
            return
        pictures = await run.io_bound(self._run.live.pictures)
        for picture in pictures or []:
            if picture.name not in self._images:
                with self._pictures, shell.element("figure"):
                    image = shell.element("img")
                    image.props["alt"] = f"live view {picture.name}"
                    shell.text("figcaption", picture.name, "d-dim d-text")
                self._images[picture.name] = image
            image = self._images[picture.name]
            if image.props.get("src") != picture.address:
                image.props["src"] = picture.address
                image.update()

    async def _change_tab(self, event: Any) -> None:
        self._tab = str(event.value)
        if self._tab == "config":
            await self._config.update()
        elif self._tab == "log":
            await self._log.update()
        elif self._tab == "files":
            await self._files.update()


def progress_words(status: Status, files: RunFiles) -> str:
    """Say how far a run is and how long the rest takes."""
    goal = files.limits.steps
    parts = [f"{shell.number(status.steps)}{f' of {goal:,.0f}' if goal is not None else ''} steps"]
    if status.fraction is not None:
        parts.append(f"{100 * status.fraction:.0f} %")
    source = status.live or files.summary
    seconds = source.get("wall_seconds")
    if isinstance(seconds, int | float):
        parts.append(f"{shell.duration(seconds)} so far" if status.live else f"took {shell.duration(seconds)}")
    if status.seconds_left is not None:
        parts.append(f"{shell.duration(status.seconds_left)} left")
    return ", ".join(parts)


def machine_facts(status: Status, watched: WatchedRun) -> list[tuple[str, str]]:
    """Return what is known of the machine: of the live run, or of the summary of one that has ended."""
    source: Mapping[str, Any] = status.live or watched.files.summary
    latest = watched.metrics.latest()
    found = []
    for name in _MACHINE:
        value = source.get(name)
        if value is None and name in _MACHINE_RECORDS:
            value = latest.get(_MACHINE_RECORDS[name])
        if isinstance(value, int | float):
            unit = STATISTICS[name].unit
            shown = bytes_text(value) if unit == "bytes" else shell.number(value, unit)
            found.append((STATISTICS[name].label, shown))
    machine = mapping(watched.files.manifest.get("machine"))
    found += [(name, str(machine[key])) for name, key in (("processor", "cpu"), ("usable cores", "cpus_usable"),
              ("system", "system"), ("Python", "python")) if machine.get(key) is not None]  # fmt: skip
    return found or [("machine", "nothing was recorded")]


class ConfigView:
    """The config with what chose each value."""

    def __init__(self, watched: WatchedRun) -> None:
        self._run = watched
        self._settings: Sequence[Setting] | None = None
        self._errors: list[str] = []
        with shell.element("section", "d-card"):
            shell.heading("config")
            with shell.element("div", "d-row"):
                self._search = ui.input("search keys, values, files", on_change=self._show).props(
                    "dense outlined clearable debounce=200"
                )
                self._count = ui.label().classes("d-dim")
            self._notices = shell.Notices()
            self._table = shell.element("div")

    async def update(self) -> None:
        """Read the config, once."""
        if self._settings is None:
            self._settings = await run.io_bound(read_settings, self._run.folder, self._errors) or []
            self._notices.set(self._errors)
            self._show()

    def _show(self) -> None:
        words = str(self._search.value or "").lower().split()
        settings = self._settings or []
        found = [each for each in settings
                 if all(word in f"{each.key} {each.value} {each.chosen_by}".lower() for word in words)]  # fmt: skip
        more = f", the first {_MOST_SETTINGS} are shown" if len(found) > _MOST_SETTINGS else ""
        self._count.set_text(f"{len(found):,} of {len(settings):,} values{more}" if settings else "no config was kept")
        self._table.clear()
        if found:
            rows = [(each.key, each.value, each.chosen_by) for each in found[:_MOST_SETTINGS]]
            with self._table:
                shell.plain_table(("key", "value", "chosen by"), rows)


class LogView:
    """The last lines of the log, and the warnings among them."""

    def __init__(self, watched: WatchedRun) -> None:
        self._run = watched
        self._shown: tuple[int, str] = (-1, "")
        with shell.element("section", "d-card"):
            shell.heading("warnings and errors")
            self._warnings = shell.text("pre", "", "d-log").props('tabindex="0"')
        with shell.element("section", "d-card"):
            shell.heading("log")
            self._lines = shell.text("pre", "", "d-log").props('tabindex="0"')

    async def update(self) -> None:
        """Read the log again."""
        lines, warnings, problem = await run.io_bound(read_log, self._run.folder) or ([], [], "")
        shown = (len(lines), lines[-1] if lines else problem)
        if shown != self._shown:
            self._shown = shown
            self._lines.set_text(printable("\n".join(lines[-_MOST_LOG_LINES:]) or problem or "nothing was logged"))
            self._warnings.set_text(printable("\n".join(warnings[-_MOST_LOG_LINES:]) or "none"))


class FilesView:
    """Checkpoints and media."""

    def __init__(self, watched: WatchedRun) -> None:
        self._run = watched
        with shell.element("section", "d-card"):
            shell.heading("checkpoints")
            self._checkpoints = shell.element("div")
        with shell.element("section", "d-card"):
            shell.heading("pictures and videos")
            self._media = shell.element("div", "d-media")

    async def update(self) -> None:
        """Look at the folders again."""
        folder = self._run.folder
        checkpoints, media = await run.io_bound(lambda: (list_checkpoints(folder), list_media(folder))) or ([], [])
        self._checkpoints.clear()
        with self._checkpoints:
            if checkpoints:
                shell.plain_table(("checkpoint", "size", "written"), [_file_row(file) for file in checkpoints])
            else:
                ui.label("none yet").classes("d-dim")
        self._media.clear()
        with self._media:
            for file in media[:24]:
                self._show_file(file)
            if not media:
                ui.label("none yet; tracking=video records some").classes("d-dim")
            elif len(media) > 24:
                ui.label(f"the newest 24 of {len(media)} are shown").classes("d-dim")

    def _show_file(self, file: StoredFile) -> None:
        video = file.name.lower().endswith((".mp4", ".webm"))
        with shell.element("figure"):
            item = shell.element("video" if video else "img")
            item.props["src"] = shell.address("/media", key=self._run.place.key, name=file.name)
            if video:
                item.props["controls"] = True
                item.props["preload"] = "metadata"
            else:
                item.props["alt"] = file.name
            shell.text("figcaption", f"{file.name}, {bytes_text(file.size)}", "d-dim d-text")


def _file_row(file: StoredFile) -> tuple[str, str, str]:
    written = datetime.fromtimestamp(file.modified).strftime("%Y-%m-%d %H:%M:%S")
    return file.name, bytes_text(file.size), written
