"""Figures for a paper and for the screen: readable in print, and distinguishable without colors."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from pamiq_exp.analysis.records import Series
from pamiq_exp.analysis.statistics import Estimate, common_grid, curve_interval, performance_profile, value_groups
from pamiq_exp.files import write_atomically

FloatArray = NDArray[np.float64]

INK = "#1b1b1f"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7a3e9d")
"""Okabe and Ito's colors, without those that vanish on white, and two more that keep their distance."""

MOST_LINES = len(COLOURS)
"""How many arms a figure of lines can show."""

_DASHES = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (3, 1)),
    (0, (5, 1, 1, 1, 1, 1)),
)
_MARKERS = "osD^vPX"
_POINTS = 120
_LONGEST_LABEL = 24
_WIDE = 8  # from this ratio of largest to smallest on, a setting is drawn on a log scale
_STYLE = {
    "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "text.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#9a9aa2",
    "grid.alpha": 0.25, "axes.axisbelow": True, "font.size": 9.0, "axes.titlesize": 9.0, "legend.frameon": False,
    "legend.fontsize": 8.0, "lines.linewidth": 1.6, "pdf.fonttype": 42, "svg.hashsalt": "pamiq_exp",
    "text.parse_math": False,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.dpi": 200, "axes.unicode_minus": False,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A finished figure: its file name without suffix, what it shows, and the drawing."""

    name: str
    title: str
    figure: Figure

    def write(self, folder: Path) -> str:
        """Write PDF, SVG and PNG into a folder and return the SVG. Raises OSError."""
        with _style():
            FigureCanvasAgg(self.figure)
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")  # laid out once, not once a format
            written = {
                "pdf": self._drawn("pdf", facecolor="white", metadata={"CreationDate": None}),
                "png": self._drawn("png", facecolor="white", metadata={"Software": None}),
                "svg": self._drawn("svg", metadata={"Date": None, "Creator": None}),
            }
        for suffix, content in written.items():
            write_atomically(folder / f"{self.name}.{suffix}", content)
        return written["svg"].decode()

    def _drawn(self, kind: str, **settings: Any) -> bytes:
        stream = io.BytesIO()
        self.figure.savefig(stream, format=kind, **settings)
        return stream.getvalue()


def learning_curves(
    name: str,
    title: str,
    curves: Mapping[str, Mapping[str, Sequence[Series]]],
    *,
    axis: str,
    metric: str,
    arms: Sequence[str],
    seed: int = 0,
) -> Plot:
    """Draw a figure over an axis of records: interquartile mean over seeds with 95 % bootstrap intervals.

    Args:
        name, title: See `Plot`.
        curves: Series of each run by task and arm.
        axis: One of the axes of records.
        metric: What is drawn, for the label.
        arms: The arms in the order of their colors; an arm keeps its color in all figures.
        seed: Seeds the bootstrap.
    """
    with _style():
        drawing, panels = _panels(len(curves), width=3.6, height=2.6)
        for panel, (task, by_arm) in zip(panels, curves.items(), strict=True):
            for index, arm in enumerate(arms):
                runs = [series for series in by_arm.get(arm, ()) if axis in series.axes]
                if runs:
                    _curve(panel, runs, axis, arm, index, seed)
            panel.set_title(task)
            panel.set_xlabel(axis.replace("_", " "))
            panel.ticklabel_format(axis="x", style="sci", scilimits=(-3, 5))
        panels[0].set_ylabel(metric if len(metric) <= _LONGEST_LABEL else metric.replace("/", "/\n", 1))
        _legend(drawing, panels)
    return Plot(name, title, drawing)


def bars(
    name: str,
    title: str,
    scores: Mapping[str, Mapping[str, FloatArray]],
    estimates: Mapping[tuple[str, str], Estimate],
    *,
    metric: str,
    arms: Sequence[str],
) -> Plot:
    """Draw a bar with its interval for each arm, and a dot for each seed; one panel a task.

    Where scores are negative there is no bar, as its length would tell the opposite: a mark shows the estimate.
    """
    with _style():
        drawing, panels = _panels(
            len(scores), width=3.2, height=0.55 + 0.32 * len(arms), margin=_label_width(arms), share_y=True
        )
        for panel, (task, by_arm) in zip(panels, scores.items(), strict=True):
            from_zero = all((scored >= 0).all() for scored in by_arm.values())
            for index, arm in enumerate(arms):
                if (arm, task) in estimates:
                    _bar(panel, index, estimates[arm, task], by_arm[arm], from_zero)
            panel.set_title(task)
            panel.set_xlabel(metric)
            panel.locator_params(axis="x", nbins=5)
            panel.set_yticks(range(len(arms)), [_short(arm) for arm in arms])
            panel.set_ylim(len(arms) - 0.4, -0.6)
            panel.grid(axis="y", visible=False)
    return Plot(name, title, drawing)


def trend(
    name: str,
    title: str,
    numbers: Mapping[str, float],
    scores: Mapping[str, Mapping[str, FloatArray]],
    estimates: Mapping[tuple[str, str], Estimate],
    *,
    setting: str,
    metric: str,
    arms: Sequence[str],
) -> Plot:
    """Draw a line for each arm over a setting that is a number: estimates with intervals, and a dot for each seed.

    Args:
        name, title: See `Plot`.
        numbers: The value of the setting by task.
        scores: Of each seed, by task and arm.
        estimates: By arm and task.
        setting, metric: Labels of the axes.
        arms: The arms in the order of their colors.
    """
    wide = min(numbers.values()) > 0 and max(numbers.values()) >= _WIDE * min(numbers.values())
    places = {task: math.log(value) if wide else value for task, value in numbers.items()}
    tasks = sorted(places, key=lambda task: places[task])
    gap = min(places[after] - places[before] for before, after in pairwise(tasks))
    with _style():
        drawing, (panel,) = _panels(1, width=5.2, height=3.0)
        for index, arm in enumerate(arms):
            aside = 0.35 * gap * ((index + 0.5) / len(arms) - 0.5)  # beside each other, or intervals hide one another
            known = [(places[task] + aside, task) for task in tasks if (arm, task) in estimates]
            for at, task in known:
                each, scored = estimates[arm, task], scores[task][arm]
                panel.plot([at] * len(scored), scored, "o", color=_color(index), markersize=2.5, alpha=0.45)
                if each.has_interval:
                    panel.plot([at, at], [each.low, each.high], color=_color(index), linewidth=3.5, alpha=0.45)
            panel.plot(
                [at for at, _ in known],
                [estimates[arm, task].value for _, task in known],
                color=_color(index),
                linestyle=_DASHES[index % len(_DASHES)],
                marker=_MARKERS[index % len(_MARKERS)],
                label=_short(arm),
            )
        panel.set_xticks([places[task] for task in numbers], [f"{value:g}" for value in numbers.values()])
        panel.set_xlabel(f"{setting} (log scale)" if wide else setting)
        panel.set_ylabel(metric)
        _legend(drawing, [panel])
    return Plot(name, title, drawing)


def intervals(name: str, title: str, estimates: Mapping[str, Estimate], *, label: str, reference: float) -> Plot:
    """Draw estimates with their intervals below each other, and a line where nothing would differ."""
    with _style():
        drawing, (panel,) = _panels(1, width=3.4, height=0.7 + 0.3 * len(estimates), margin=_label_width(estimates))
        panel.axvline(reference, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        for index, each in enumerate(estimates.values()):
            if each.has_interval:
                panel.plot([each.low, each.high], [index, index], color=COLOURS[0], linewidth=3, alpha=0.45)
            panel.plot([each.value], [index], "o", color=COLOURS[0], markersize=5)
        panel.set_yticks(range(len(estimates)), [_short(arm) for arm in estimates])
        panel.set_ylim(len(estimates) - 0.4, -0.6)
        panel.set_xlabel(label)
    return Plot(name, title, drawing)


def profiles(name: str, title: str, scores: Mapping[str, Sequence[FloatArray]], *, metric: str, seed: int = 0) -> Plot:
    """Draw performance profiles: the share of runs above each threshold."""
    everything = np.concatenate([each for strata in scores.values() for each in strata])
    margin = 0.03 * (np.ptp(everything) or 1.0)
    thresholds = np.linspace(everything.min() - margin, everything.max() + margin, _POINTS)
    with _style():
        drawing, (panel,) = _panels(1, width=4.4, height=2.8)
        for index, (arm, strata) in enumerate(scores.items()):
            share, low, high = performance_profile(strata, thresholds, resamples=500, seed=seed)
            _line(panel, thresholds, share, low, high, arm, index)
        panel.set_xlabel(f"{metric} above this")
        panel.set_ylabel("share of runs")
        panel.set_ylim(-0.03, 1.03)
        _legend(drawing, [panel])
    return Plot(name, title, drawing)


def importances(name: str, title: str, shares: Mapping[str, float]) -> Plot:
    """Draw how much of the variance each hyper-parameter explains alone."""
    ordered = sorted(shares, key=lambda key: shares[key], reverse=True)
    with _style():
        drawing, (panel,) = _panels(1, width=3.4, height=0.7 + 0.3 * len(ordered), margin=_label_width(ordered))
        panel.barh(range(len(ordered)), [shares[key] for key in ordered], height=0.6, color=COLOURS[0])
        panel.set_yticks(range(len(ordered)), [_short(key) for key in ordered])
        panel.set_ylim(len(ordered) - 0.4, -0.6)
        panel.set_xlim(0, 1)
        panel.grid(axis="y", visible=False)
        panel.set_xlabel("share of variance explained alone (epsilon squared)")
    return Plot(name, title, drawing)


def slices(name: str, title: str, values: Mapping[str, Sequence[object]], scores: FloatArray, *, metric: str) -> Plot:
    """Draw each run's score over each hyper-parameter, with the mean of neighbors."""
    with _style():
        drawing, panels = _panels(len(values), width=2.7, height=2.4, share_y=True)
        for panel, (key, settings) in zip(panels, values.items(), strict=True):
            _slice(panel, settings, scores)
            panel.set_xlabel(_short(key))
        panels[0].set_ylabel(metric)
    return Plot(name, title, drawing)


def visit_maps(name: str, title: str, shares: Mapping[str, FloatArray]) -> Plot:
    """Draw worlds from above: for each cell the share of runs that have visited it.

    Args:
        name, title: See `Plot`.
        shares: `(rows, columns)` by the name of a panel; a cell without visits is left blank.
    """
    with _style():
        drawing, panels = _panels(len(shares), width=2.3, height=2.4)
        image = None
        for panel, (label, share) in zip(panels, shares.items(), strict=True):
            image = panel.imshow(
                np.where(share > 0, share, np.nan), cmap="viridis_r", vmin=0.0, vmax=1.0, interpolation="none"
            )
            panel.set_facecolor("#fdfdfd")  # paper, on dark pages too: the map's dark end would drown there
            panel.set_title(_short(label, 34))
            panel.set_xticks([])
            panel.set_yticks([])
            panel.spines[["top", "right"]].set_visible(True)
        assert image is not None
        drawing.colorbar(image, ax=panels, shrink=0.8, label="share of runs")
    return Plot(name, title, drawing)


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.rc_context(cast(Any, _STYLE)):
        yield


def _panels(
    count: int, *, width: float, height: float, margin: float = 0.0, share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Return a figure of at most four panels a row; sizes in inches, `margin` for names on the left."""
    columns = min(count, 4)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(margin + width * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    panels = list(grid.flat)
    for spare in panels[count:]:
        spare.set_visible(False)
    return figure, panels[:count]


def _label_width(names: Iterable[str]) -> float:
    return 0.065 * max(len(_short(name)) for name in names)


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    entries = {
        label: handle for panel in panels for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    if len(entries) < 2:
        return
    width, height = figure.get_size_inches()
    columns = max(1, min(4, len(entries), int(width / (0.75 + _label_width(entries)))))
    figure.set_size_inches(width, height + 0.17 * math.ceil(len(entries) / columns))
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns, handlelength=3.2)


def _curve(panel: Axes, runs: Sequence[Series], axis: str, arm: str, index: int, seed: int) -> None:
    grid, values = common_grid([(series.axes[axis], series.values) for series in runs], _POINTS)
    if len(grid) == 0:
        return
    if len(runs) == 1:
        _marked(panel, grid, values[0], arm, index)
        return
    middle, low, high = curve_interval(values, seed=seed)
    _line(panel, grid, middle, low, high, arm, index)


def _line(
    panel: Axes, at: FloatArray, middle: FloatArray, low: FloatArray, high: FloatArray, arm: str, index: int
) -> None:
    panel.fill_between(at, low, high, color=_color(index), alpha=0.18, linewidth=0)
    _marked(panel, at, middle, arm, index)


def _marked(panel: Axes, at: FloatArray, values: FloatArray, arm: str, index: int) -> None:
    panel.plot(
        at,
        values,
        color=_color(index),
        linestyle=_DASHES[index % len(_DASHES)],
        marker=_MARKERS[index % len(_MARKERS)],
        markersize=4.0,
        markevery=(index * 3 % 17, 24),
        label=_short(arm),
    )


def _color(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _bar(panel: Axes, index: int, middle: Estimate, scores: FloatArray, from_zero: bool) -> None:
    color = _color(index)
    if from_zero:
        panel.barh(index, middle.value, height=0.62, color=color, alpha=0.35, edgecolor=color)
    else:
        panel.plot([middle.value] * 2, [index - 0.31, index + 0.31], color=color, linewidth=3.0)
    if middle.has_interval:
        panel.plot([middle.low, middle.high], [index, index], color=color, linewidth=2.4)
    offsets = np.linspace(-0.2, 0.2, len(scores)) if len(scores) > 1 else np.zeros(1)
    panel.plot(scores, index + offsets, "o", color=INK, markersize=3.0, alpha=0.8, linestyle="none")


def _slice(panel: Axes, settings: Sequence[object], scores: FloatArray) -> None:
    groups = value_groups(settings)
    numbers = [float(each) for each in settings if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == len(settings):
        at = np.array(numbers)
        if at.min() > 0 and at.max() / at.min() >= 50:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            panel.xaxis.set_minor_formatter(NullFormatter())
    else:
        at = groups.astype(np.float64)
        names = {int(group): str(value) for group, value in zip(groups, settings, strict=True)}
        panel.set_xticks(list(names), [_short(name, 14) for name in names.values()])
        if max(map(len, names.values())) > 6:
            panel.tick_params(axis="x", labelrotation=30)
    panel.plot(at, scores, "o", color=COLOURS[0], markersize=4, alpha=0.55, linestyle="none")
    kinds = sorted(set(groups.tolist()), key=lambda group: float(np.median(at[groups == group])))
    middles = [(float(np.median(at[groups == kind])), float(scores[groups == kind].mean())) for kind in kinds]
    panel.plot(*zip(*middles, strict=True), "-", marker="D", color=COLOURS[1], markersize=4)


def _short(name: str, longest: int = 52) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
