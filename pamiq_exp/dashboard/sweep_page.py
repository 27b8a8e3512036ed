"""The page of a sweep: its jobs, and curves with intervals over seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nicegui import run, ui

from pamiq_exp.analysis.statistics import common_grid, curve_interval
from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.chart import Chart, draw
from pamiq_exp.dashboard.charts import COLORS, DASHES, band, first_choice, legend, line, mark_of, options
from pamiq_exp.dashboard.curves import Curve
from pamiq_exp.dashboard.watched import Watched, WatchedRun
from pamiq_exp.formatting import printable
from pamiq_exp.run_folder.reader import Place, is_number
from pamiq_exp.run_folder.records import HEADLINE_METRICS, PLOT_AXES
from pamiq_exp.sweeps.folder import ENDED_WELL, JobView, SweepFolder

UPDATE_SECONDS = 3.0
MOST_ARMS = len(COLORS) * len(DASHES)
_RESAMPLES, _POINTS = 200, 100
_RESULTS = (*HEADLINE_METRICS, "steps", "wall_seconds")


@dataclass(frozen=True)
class Arm:
    """Jobs that differ in nothing but their seed."""

    name: str
    jobs: tuple[int, ...]


def differing_choices(jobs: Sequence[JobView]) -> dict[int, tuple[str, ...]]:
    """Return for each job the choices that not all jobs share."""
    counts = Counter(word for job in jobs for word in set(job.overrides))
    return {job.number: tuple(word for word in job.overrides if counts[word] < len(jobs) or len(jobs) == 1)
            for job in jobs}  # fmt: skip


def arms_of(jobs: Sequence[JobView]) -> list[Arm]:
    """Return the jobs grouped by their choices but for the seed, in order."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, words in differing_choices(jobs).items():
        key = tuple(word for word in words if word.partition("=")[0].lstrip("+") != "seed")
        groups.setdefault(key, []).append(number)
    return [Arm(" ".join(key) or "all jobs", tuple(numbers)) for key, numbers in groups.items()]


class SweepPage:
    """Builds the page and keeps it up to date."""

    def __init__(self, place: Place, sweep: SweepFolder, watched: Watched) -> None:
        self._place, self._sweep, self._watched = place, sweep, watched
        self._jobs: list[JobView] = []
        self._metric = ""
        self._axis = PLOT_AXES[0]
        self._drawn: tuple[object, ...] = ()

    def build(self) -> None:
        """Add the elements."""
        name = self._place.key if self._place.key != "." else self._place.folder.name
        with shell.element("section", "d-card"):
            with shell.element("div", "d-row"):
                shell.text("h1", f"sweep {name}", "d-title")
                self._counts = ui.label().classes("d-dim").props('role="status"')
            with shell.element("div", "d-progress").props('role="progressbar" aria-label="progress"'):
                self._done = shell.element("div").style("width: 0%")
        with shell.element("section", "d-card"):
            with shell.element("div", "d-row"):
                self._choice = (
                    ui.select([], label="metric", on_change=self._choose_metric)
                    .props("dense outlined options-dense")
                    .style("min-width: 240px")
                )
                ui.select(list(PLOT_AXES), value=self._axis, label="against", on_change=self._choose_axis).props(
                    "dense outlined options-dense"
                ).style("min-width: 170px")
                self._note = ui.label("no curves yet").classes("d-dim")
            self._legend = shell.element("div")
            self._chart = Chart("curves of the arms").style("height: 320px")
        self._table = job_table()
        with self._table.add_slot("top"):
            shell.text("h2", "jobs", "d-heading")
            words = ui.input("filter jobs", on_change=self._filter)
            words.props("dense outlined clearable debounce=200").classes("d-push")
        shell.repeat(UPDATE_SECONDS, self._update)
        shell.repeat(0.01, self._update, once=True)

    async def _update(self) -> None:
        jobs = await run.io_bound(self._sweep.jobs)
        if jobs is None:
            return
        await run.io_bound(self._watched.runs.look)
        if jobs != self._jobs:
            self._jobs = jobs
            self._show_jobs()
        await self._draw()

    def _show_jobs(self) -> None:
        counts = Counter(job.state for job in self._jobs)
        over = sum(counts[state] for state in ENDED_WELL)
        words = [f"{over} of {len(self._jobs)} jobs done"]
        words += [f"{count} {state}" for state, count in counts.items() if state != "finished"]
        self._counts.set_text(", ".join(words))
        done = sum(1.0 if job.state in ENDED_WELL else job.fraction for job in self._jobs)
        self._done.style(f"width: {100 * done / max(1, len(self._jobs)):.1f}%")
        choices = differing_choices(self._jobs)
        results = [name for name in _RESULTS if any(is_number(job.summary.get(name)) for job in self._jobs)]
        self._table.columns = job_columns(results)
        self._table.rows = [self._row(job, choices[job.number], results) for job in self._jobs]
        self._table.update()

    def _row(self, job: JobView, choices: Sequence[str], results: Sequence[str]) -> dict[str, Any]:
        sign, mark = shell.SIGNS.get(job.state, ("?", "wait"))
        row: dict[str, Any] = {
            "job": job.number, "state": job.state, "sign": sign, "mark": mark, "done": round(100 * job.fraction),
            "choices": printable(" ".join(choices)), "why": printable(job.reason) if job.state != "finished" else "",
            "href": shell.address("/run", key=self._key(job.number)),
        }  # fmt: skip
        for index, name in enumerate(results):  # names of metrics are not ours: no keys
            value = job.summary.get(name)
            row[f"result{index}"] = value if is_number(value) else None
        return row

    def _key(self, number: int) -> str:
        return str(number) if self._place.key == "." else f"{self._place.key}/{number}"

    def _filter(self, event: Any) -> None:
        self._table.filter = str(event.value or "")

    async def _choose_metric(self, event: Any) -> None:
        self._metric = str(event.value or "")
        await self._draw()

    async def _choose_axis(self, event: Any) -> None:
        self._axis = str(event.value)
        await self._draw()

    async def _draw(self) -> None:
        drawn = await run.io_bound(self._read_curves)
        if drawn is None:
            return
        names, stamp, arms = drawn
        if names and list(self._choice.options) != names:
            self._metric = self._metric or first_choice(names)[0]
            self._choice.set_options(names, value=self._metric)
            return  # the choice calls again
        if stamp == self._drawn:
            return
        self._drawn = stamp
        series: list[dict[str, Any]] = []
        for index, (arm, curves) in enumerate(arms):
            series += arm_series(arm.name, curves, index)
        seeds = [len(curves) for _, curves in arms if curves]
        self._note.set_text(_note(seeds))
        self._legend.clear()
        with self._legend:
            legend([f"{arm.name} ({len(curves)})" for arm, curves in arms])
        draw({self._chart: options(series, self._axis)})

    def _read_curves(self) -> tuple[list[str], tuple[object, ...], list[tuple[Arm, list[Curve]]]]:
        runs: dict[int, WatchedRun] = {}
        for job in self._jobs[:200]:
            watched = self._watched.run(self._key(job.number)) if job.state != "waiting" else None
            if watched is not None:
                watched.look()
                runs[job.number] = watched
        names = sorted({name for watched in runs.values() for name in watched.metrics.names()})[:5000]
        arms = arms_of(self._jobs)[:MOST_ARMS]
        stamp = (self._metric, self._axis, tuple(watched.version for watched in runs.values()), len(arms))
        found = []
        for arm in arms:
            curves = [runs[number].metrics.curve(self._metric, self._axis) for number in arm.jobs if number in runs]
            found.append((arm, [curve for curve in curves if curve is not None and len(curve.x)]))
        return names, stamp, found


def arm_series(name: str, curves: Sequence[Curve], index: int) -> list[dict[str, Any]]:
    """Return mean and interval of an arm; the curve itself where there is only one."""
    color, dash = mark_of(index)
    if len(curves) == 1:
        return [line(name, curves[0].x, curves[0].y, color, dash)]
    x, values = common_grid([(each.x, each.y) for each in curves if np.isfinite(each.y).any()], _POINTS)
    if not len(x):
        return []
    middle, low, high = curve_interval(values, resamples=_RESAMPLES)
    return [*band(name, x, low, high, color), line(name, x, middle, color, dash)]


def job_columns(results: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of the jobs, with one for each result."""
    fixed = [("job", "job"), ("state", "state"), ("done", "done, %"), ("choices", "choices")]
    columns = [{"name": name, "label": label, "field": name, "sortable": True,
                "align": "left" if name in ("state", "choices") else "right"} for name, label in fixed]  # fmt: skip
    columns += [{"name": f"result{index}", "label": name, "field": f"result{index}", "sortable": True,
                 ":format": "value => value == null ? '' : Number(value.toPrecision(5)).toLocaleString('en')"}
                for index, name in enumerate(results)]  # fmt: skip
    return [*columns, {"name": "why", "label": "why", "field": "why", "sortable": True, "align": "left"}]


def job_table() -> ui.table:
    """Add an empty table of jobs. Its cells are filled by templates that take values for text."""
    table = ui.table(columns=job_columns([]), rows=[], row_key="job", pagination=50).props("dense wrap-cells")
    table.add_slot("body-cell-job", """<q-td :props="props"><a :href="props.row.href">{{ props.row.job }}</a></q-td>""")
    table.add_slot(
        "body-cell-state",
        """<q-td :props="props"><span :class="'d-state d-state-' + props.row.mark">
        {{ props.row.sign }} {{ props.row.state }}</span></q-td>""",
    )
    for name in ("choices", "why"):
        cell = f"""<q-td :props="props"><div class="d-wide">{{{{ props.row.{name} }}}}</div></q-td>"""
        table.add_slot(f"body-cell-{name}", cell)
    return table


def _note(seeds: Sequence[int]) -> str:
    """Say what is drawn, from how many runs each arm has."""
    if not seeds:
        return "no curves yet"
    count = f"{min(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    return (
        f"interquartile mean of {count} runs an arm, with 95 % bootstrap intervals over runs (too narrow with few runs)"
    )
