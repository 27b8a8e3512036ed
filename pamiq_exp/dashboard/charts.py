"""Curves of chosen metrics, of one run or of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import run, ui

from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.chart import Chart, draw
from pamiq_exp.dashboard.curves import Curve, FloatArray, smoothed
from pamiq_exp.dashboard.watched import WatchedRun
from pamiq_exp.formatting import printable
from pamiq_exp.run_folder.records import PLOT_AXES

COLORS = ("#1f87cc", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c7a00", "#7f7f7f")
"""After Okabe and Ito (2008): distinguishable with every kind of color vision, on white and on black."""

DASHES = ("solid", "dashed", "dotted")
"""The second mark of a curve: with color, `len(COLORS) * len(DASHES)` curves can be distinguished."""

FAVORITES = (
    "interaction/coverage", "interaction/return", "interaction/reward_mean", "interaction/reward",
    "interaction/intrinsic_reward_mean",
)  # fmt: skip
_MOST_FIRST, _MOST_CHOICES, MOST_CHARTS = 6, 40, 24
_TEXT, _LINES = "#808890", "rgba(128,136,144,0.25)"


@dataclass
class View:
    """How curves are drawn.

    Attributes:
        chosen: Names of the metrics.
        axis: What they are drawn against.
        smoothing: Weight of the moving average.
        log: Whether the values are drawn on a log scale.
        found: What the names of metrics must contain to be offered.
    """

    chosen: list[str] = field(default_factory=list)
    axis: str = PLOT_AXES[0]
    smoothing: float = 0.0
    log: bool = False
    found: str = ""


def mark_of(index: int) -> tuple[str, str]:
    """Return color and dash of the curve of a number; another dash each time the colors are used up."""
    return COLORS[index % len(COLORS)], DASHES[index // len(COLORS) % len(DASHES)]


def first_choice(names: Sequence[str]) -> list[str]:
    """Return the metrics that are shown first: what the experiment is about, then losses, then what there is."""
    losses = [name for name in names if name.rpartition("/")[2].endswith("loss")]
    rest = [name for name in names if "/time/" not in name]
    order = dict.fromkeys([name for name in FAVORITES if name in names] + losses + rest)
    return list(order)[:_MOST_FIRST]


class ChartGrid:
    """A choice of metrics and one chart for each, drawn anew when there are new records.

    Args:
        runs: The runs whose curves are drawn over each other.
        labels: What they are called.
    """

    def __init__(self, runs: Sequence[WatchedRun], labels: Sequence[str]) -> None:
        self._runs, self._labels = runs, labels
        self._view = View()
        self._names: list[str] = []
        self._charts: dict[str, tuple[Chart, ui.label]] = {}
        self._drawn: tuple[int, ...] = ()
        self._empty = ui.label("no metrics yet").classes("d-dim")
        self._controls()
        self._grid = shell.element("div", "d-charts")

    def _controls(self) -> None:
        view = self._view

        async def axis(event: Any) -> None:
            view.axis = str(event.value)
            await self._draw()

        async def smoothing(event: Any) -> None:
            view.smoothing = min(max(float(event.value), 0.0), 0.99)
            await self._draw()

        async def log(event: Any) -> None:
            view.log = bool(event.value)
            await self._draw()

        def search(event: Any) -> None:
            view.found = str(event.value or "")
            self._list_choices()

        with shell.element("div", "d-row"):
            select = ui.select(list(PLOT_AXES), value=view.axis, label="against", on_change=axis)
            select.props("dense outlined options-dense").style("min-width: 170px")
            with shell.element("div", "d-together"):
                ui.label("smoothing").classes("d-dim")
                slider = ui.slider(min=0.0, max=0.99, step=0.01, value=0.0, on_change=smoothing)
                slider.props('label aria-label="smoothing"').style("width: 140px")
            ui.switch("log scale", on_change=log)
            with ui.expansion("metrics").classes("d-grow").props("dense") as self._picker:
                found = ui.input("search metrics", on_change=search)
                found.props("dense outlined clearable debounce=200").style("max-width: 320px")
                self._count = ui.label().classes("d-dim")
                self._choices = shell.element("div", "d-list")

    async def show(self, runs: Sequence[WatchedRun], labels: Sequence[str]) -> None:
        """Draw other runs than before, with the same choice of metrics."""
        self._runs, self._labels = runs, labels
        self._drawn = ()
        await self.update()

    async def update(self) -> None:
        """Look for new records and draw them."""
        versions = await run.io_bound(lambda: tuple(each.look() for each in self._runs))
        if versions is None or versions == self._drawn:
            return
        self._drawn = versions
        names = sorted({name for each in self._runs for name in each.metrics.names()})
        if names != self._names:
            had_none = not self._names
            self._names = names
            if had_none:
                self._view.chosen = first_choice(names)
            self._empty.set_visibility(not names)
            self._list_choices()
        await self._draw()

    def _list_choices(self) -> None:
        words = self._view.found.lower().split()
        found = [name for name in self._names if all(word in name.lower() for word in words)]
        shown = list(dict.fromkeys([name for name in self._view.chosen if name in found] + found))[:_MOST_CHOICES]
        more = f"; {len(found) - len(shown):,} more: type to narrow" if len(found) > len(shown) else ""
        self._count.set_text(f"{len(found):,} of {len(self._names):,} metrics{more}")
        self._picker.set_text(f"metrics ({len(self._view.chosen)} of {len(self._names):,} shown)")
        self._choices.clear()
        with self._choices:
            for name in shown:
                ui.checkbox(printable(name), value=name in self._view.chosen, on_change=self._chooser(name)).props(
                    "dense"
                )

    def _chooser(self, name: str) -> Callable[[Any], Any]:
        async def choose(event: Any) -> None:
            chosen = [each for each in self._view.chosen if each != name]
            self._view.chosen = ([*chosen, name] if event.value else chosen)[-MOST_CHARTS:]
            self._picker.set_text(f"metrics ({len(self._view.chosen)} of {len(self._names):,} shown)")
            await self._draw()

        return choose

    async def _draw(self) -> None:
        """Draw all chosen metrics."""
        view = self._view
        for name in [name for name in self._charts if name not in view.chosen]:
            chart, _ = self._charts.pop(name)
            if chart.parent_slot is not None:
                chart.parent_slot.parent.delete()
        drawn = await run.io_bound(lambda: {name: self._series(name) for name in view.chosen})
        for name, (_, note_text) in (drawn or {}).items():
            if name not in self._charts:
                self._charts[name] = self._new_chart(name)
            self._charts[name][1].set_text(note_text)
        draw({self._charts[name][0]: options(series, view.axis, log=view.log)
                  for name, (series, _) in (drawn or {}).items()})  # fmt: skip

    def _new_chart(self, name: str) -> tuple[Chart, ui.label]:
        with self._grid, shell.element("section", "d-card"):
            shell.text("h3", name, "d-heading d-text")
            chart = Chart(f"curve {len(self._charts) + 1}")
            note = ui.label().classes("d-dim")
        return chart, note

    def _series(self, metric: str) -> tuple[list[dict[str, Any]], str]:
        """Return what is drawn of a metric, and how much that is of what there is."""
        series: list[dict[str, Any]] = []
        curves: list[Curve] = []
        left_out = 0
        for index, watched in enumerate(self._runs):
            curve = watched.metrics.curve(metric, self._view.axis)
            if curve is None:
                continue
            curves.append(curve)
            color, dash = mark_of(index)
            values = curve.y
            if self._view.log:
                left_out += int((values <= 0).sum())
            if self._view.smoothing:
                series.append(line(self._labels[index], curve.x, values, color, "solid", faint=True))
                values = smoothed(values, self._view.smoothing)
            series.append(line(self._labels[index], curve.x, values, color, dash))
        return series, note_of(curves, left_out)


def note_of(curves: Sequence[Curve], left_out: int = 0) -> str:
    """Say how many of the records are drawn."""
    if not curves:
        return "no records"
    records, points = sum(curve.records for curve in curves), sum(len(curve.x) for curve in curves)
    every = max(curve.every for curve in curves)
    words = f"{records:,} records" if every == 1 else f"{points:,} of {records:,} records drawn (each {every:,}th)"
    missing = sum(int((~_finite(curve.y)).sum()) for curve in curves)
    words += f", {missing:,} not finite" if missing else ""
    return words + (f", {left_out:,} not above 0 left out" if left_out else "")


def line(name: str, x: FloatArray, y: FloatArray, color: str, dash: str, *, faint: bool = False) -> dict[str, Any]:
    """Return one curve as the chart wants it. Names only ever stand as values: keys could be taken for code."""
    points = [[a, b if math.isfinite(b) else None] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    style = {"color": color, "type": dash, "width": 1 if faint else 2, "opacity": 0.35 if faint else 1.0}
    return {
        "type": "line", "name": name, "data": points, "showSymbol": len(points) < 3, "symbolSize": 5, "color": color,
        "lineStyle": style, "silent": faint, "tooltip": {"show": not faint},
    }  # fmt: skip


def band(name: str, x: FloatArray, low: FloatArray, high: FloatArray, color: str) -> list[dict[str, Any]]:
    """Return the area between two curves: the lower one unseen, and the height of the area stacked on it."""
    common = {"type": "line", "stack": f"band {name}", "showSymbol": False, "silent": True, "tooltip": {"show": False},
              "lineStyle": {"opacity": 0}, "name": name, "color": color}  # fmt: skip
    lower = {**common, "data": [list(pair) for pair in zip(x.tolist(), low.tolist(), strict=True)]}
    area = {**common, "data": [list(pair) for pair in zip(x.tolist(), (high - low).tolist(), strict=True)],
            "areaStyle": {"color": color, "opacity": 0.2}}  # fmt: skip
    return [lower, area]


def options(series: list[dict[str, Any]], axis: str, *, log: bool = False) -> dict[str, Any]:
    """Return a whole chart."""
    if log:
        series = [{**each, "data": [[x, y if y is not None and y > 0 else None] for x, y in each["data"]]}
                  for each in series]  # fmt: skip
    label = {"color": _TEXT, "hideOverlap": True}
    return {
        "animation": False,
        "grid": {"left": 8, "right": 32, "top": 12, "bottom": 24, "containLabel": True},
        "xAxis": {"type": "value", "min": "dataMin", "max": "dataMax", "name": axis.replace("_", " "),
                  "nameLocation": "middle", "nameGap": 28, "nameTextStyle": {"color": _TEXT},
                  "axisLabel": {**label, "showMinLabel": False},  # it would run into the lowest label of the other axis
                  "splitLine": {"show": False}, "axisLine": {"onZero": False, "lineStyle": {"color": _TEXT}}},
        "yAxis": {"type": "log" if log else "value", "scale": True, "axisLabel": label,
                  "splitLine": {"lineStyle": {"color": _LINES}}},
        "tooltip": {"trigger": "axis", "renderMode": "richText", "confine": True},
        "series": series,
    }  # fmt: skip


def legend(labels: Sequence[str], targets: Sequence[str] = ()) -> None:
    """Say which curve is which."""
    with shell.element("div", "d-legend"):
        for index, label in enumerate(labels):
            color, dash = mark_of(index)
            with shell.element("span"):
                shell.element("span", "d-swatch").style(f"border-color: {color}; border-top-style: {dash}")
                if targets:
                    ui.link(label, targets[index])
                else:
                    text = ui.label(label)
                    text.tag = "span"


def _finite(values: FloatArray) -> Any:
    import numpy as np

    return np.isfinite(values)
