"""How the metrics of a run are drawn on a terminal."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pamiq_exp.baselines import coverage_sentence
from pamiq_exp.formatting import clock, plain_text
from pamiq_exp.run_folder.records import Record, Value
from pamiq_exp.run_folder.statistics import STATISTICS
from pamiq_exp.tracking.tracker import RunInfo

_LABEL = "grey62"
_ACCENT = "bright_cyan"
_BARS = "▁▂▃▄▅▆▇█"
_HISTORY = 512
_STATES = {"finished": ("✓", "green"), "stopped": ("■", "yellow"), "failed": ("✗", "red")}


@dataclass(frozen=True)
class _Shown:
    """How a metric is shown: records name it `<source>/.../<name>`, the summary plainly `<name>`."""

    name: str
    label: str
    show: Callable[[float], str]
    alarming: bool = False


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 1e-3 else f"{value:,.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _milliseconds(value: float) -> str:
    return f"{value:.2f} ms"


def _statistic(name: str, show: Callable[[float], str]) -> _Shown:
    """A statistic of the run itself, under the label that it has everywhere."""
    statistic = STATISTICS[name]
    return _Shown(name, statistic.label, show, statistic.alarming)


_WORLD = (
    _Shown("coverage", "coverage", _percent),
    _Shown("reward", "reward", _number),
    _Shown("return_mean", "return", _number),
    _Shown("episodes", "episodes", _number),
)
_MACHINE = (
    _statistic("step_milliseconds_p99", _milliseconds),
    _statistic("deadline_misses", _number),
    _statistic("dropped", _number),
    _statistic("records_waiting", _number),
    _statistic("failed_writes", _number),
)
_SUMMARY = (
    _statistic("steps", _number),
    _statistic("wall_seconds", lambda value: clock(value)),
    _statistic("steps_per_second", _number),
    _statistic("training_steps", _number),
    _statistic("model_version", _number),
    _statistic("deadline_misses", _number),
    _statistic("dropped", _number),
    _statistic("failed_writes", _number),
    _Shown("coverage", "coverage", _percent),
    _Shown("coverage_auc", "coverage, mean over the run", _percent),
    _Shown("reward_mean", "reward", _number),
    _Shown("return_mean", "return, last 100 episodes", _number),
    _Shown("episodes", "episodes", _number),
)


class Progress:
    """The latest metrics of a run, and how they are drawn."""

    def __init__(self, run: RunInfo) -> None:
        self.run = run
        self.metrics: dict[str, float] = {}
        self.losses: dict[str, deque[float]] = {}
        self._first_losses: dict[str, float] = {}
        self._first: tuple[float, float] | None = None
        self._started = time.monotonic()

    def add(self, record: Record) -> None:
        for name, value in record.items():
            if isinstance(value, str):
                continue
            self.metrics[name] = value
            if name.rpartition("/")[2].endswith("loss"):
                self.losses.setdefault(name, deque(maxlen=_HISTORY)).append(value)
                self._first_losses.setdefault(name, value)
        if self._first is None and "wall_seconds" in self.metrics:
            self._first = (self.metrics["wall_seconds"], self.step)

    @property
    def step(self) -> float:
        return self.metrics.get("environment_step", 0.0)

    def find(self, name: str) -> float | None:
        """Return the metric `<source>/.../name`, the interaction's own first."""
        found = [value for key, value in self.metrics.items() if key == name or key.endswith(f"/{name}")]
        return self.metrics.get(f"interaction/{name}", found[0] if found else None)

    @property
    def elapsed(self) -> float:
        """Wall seconds that the run has lasted, earlier sessions included."""
        before = self._first[0] if self._first else 0.0
        return max(time.monotonic() - self._started, self.metrics.get("wall_seconds", 0.0), before)

    @property
    def steps_per_second(self) -> float:
        if self._first is None:
            return 0.0
        seconds = self.metrics["wall_seconds"] - self._first[0]
        if seconds > 0:
            return (self.step - self._first[1]) / seconds
        return self.step / self._first[0] if self._first[0] > 0 else 0.0

    @property
    def fraction(self) -> float | None:
        """How much of the run is over; None if it has no end of its own."""
        shares = []
        if self.run.max_steps:
            shares.append(self.step / self.run.max_steps)
        if self.run.max_seconds:
            shares.append(self.elapsed / self.run.max_seconds)
        return min(1.0, max(shares)) if shares else None

    @property
    def remaining(self) -> float | None:
        left = []
        if self.run.max_seconds:
            left.append(self.run.max_seconds - self.elapsed)
        if self.run.max_steps and self.steps_per_second > 0:
            left.append((self.run.max_steps - self.step) / self.steps_per_second)
        return max(0.0, min(left)) if left else None

    def line(self) -> str:
        """The progress in one line."""
        goal = f"/{self.run.max_steps:,}" if self.run.max_steps else ""
        parts = [clock(self.elapsed), f"step {int(self.step):,}{goal}", f"{self.steps_per_second:,.0f}/s"]
        parts += [f"{metric.label} {text}" for metric, text, _ in self._values(_WORLD)]
        parts += [f"{_loss_label(name)} {_number(values[-1])}" for name, values in self.losses.items()]
        parts.append(f"version {int(self.metrics.get('model_version', 0))}")
        parts += [f"{metric.label} {text}" for metric, text, wrong in self._values(_MACHINE) if wrong]
        return "  ".join(plain_text(part) for part in parts)

    def panel(self) -> RenderableType:
        """The progress as a panel."""
        run = self.run
        title = Text.assemble((plain_text(run.experiment_name), f"bold {_ACCENT}"), (f"  seed {run.seed}", _LABEL))
        if run.mode:
            title.append(f"  {plain_text(run.mode)}", _LABEL)
        rows: list[RenderableType] = [self._bar(), Text()]
        rows.append(self._table("world", [(metric.label, text, wrong) for metric, text, wrong in self._values(_WORLD)]))
        rows += self._learning()
        machine = [("steps/s", f"{self.steps_per_second:,.1f}", False)]
        machine += [(metric.label, text, wrong) for metric, text, wrong in self._values(_MACHINE)]
        rows.append(self._table("machine", machine))
        return Panel(Group(*rows), title=title, title_align="left", border_style="grey39", padding=(1, 2), width=96)

    def _bar(self) -> RenderableType:
        goal = f" / {self.run.max_steps:,}" if self.run.max_steps else ""
        grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
        fraction, remaining = self.fraction, self.remaining
        cells: list[RenderableType] = []
        if fraction is not None:
            grid.add_column(ratio=1)
            grid.add_column(justify="right", no_wrap=True)
            cells.append(ProgressBar(total=1.0, completed=fraction, complete_style=_ACCENT, finished_style="green"))
            cells.append(Text(f"{100 * fraction:.0f} %", style="bold"))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, justify="right")
        cells.append(Text(f"{int(self.step):,}{goal} steps"))
        left = "" if remaining is None else f"  {clock(remaining)} left"
        cells.append(Text.assemble(clock(self.elapsed), (left, _LABEL)))
        grid.add_row(*cells)
        return grid

    def _learning(self) -> list[RenderableType]:
        metrics = [
            ("model version", f"{int(self.metrics.get('model_version', 0)):,}", False),
            ("training steps", f"{int(self.metrics.get('training_step', 0)):,}", False),
        ]
        rows: list[RenderableType] = [self._table("learning", metrics)]
        for name, values in list(self.losses.items())[:6]:
            row = Text(" " * 11)
            row.append(f"{plain_text(_loss_label(name)):<18.18} ", _LABEL)
            row.append(f"{sparkline(values, 28)}  ", _ACCENT)
            row.append(f"{_number(self._first_losses[name])} → ", _LABEL)
            row.append(_number(values[-1]), "bold")
            rows.append(row)
        return rows

    def _values(self, metrics: tuple[_Shown, ...]) -> list[tuple[_Shown, str, bool]]:
        values = [(metric, self.find(metric.name)) for metric in metrics]
        return [
            (metric, metric.show(value), metric.alarming and value > 0) for metric, value in values if value is not None
        ]

    def _table(self, heading: str, metrics: list[tuple[str, str, bool]]) -> RenderableType:
        row = Text(f"{heading:<9}  ", style="bold")
        for label, text, wrong in metrics:
            row.append(f"{label} ", f"not bold {_LABEL}")
            row.append(f"{text}    ", "bold red" if wrong else "bold")
        return row


def summary_panel(run: RunInfo, exit_code: int, summary: Mapping[str, Value]) -> RenderableType:
    """The final metrics of a run as a panel."""
    state = str(summary.get("state", "finished" if exit_code == 0 else "failed"))
    sign, color = _STATES.get(state, ("•", "white"))
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(style=_LABEL, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    for metric in _SUMMARY:
        value = summary.get(metric.name)
        if isinstance(value, (int, float)):
            style = "bold red" if metric.alarming and value > 0 else "bold"
            grid.add_row(metric.label, Text(metric.show(value), style=style))
    for name in summary:
        first, last = summary[name], summary.get(name.removesuffix("_first") + "_last")
        if name.endswith("_loss_first") and isinstance(first, (int, float)) and isinstance(last, (int, float)):
            label = name.removesuffix("_first").replace("_", " ")
            grid.add_row(plain_text(label), Text.assemble(_number(first), (" → ", _LABEL), (_number(last), "bold")))
    title = Text.assemble((f"{sign} {plain_text(state)}  ", f"bold {color}"), (plain_text(run.experiment_name), "bold"))
    title.append(f"  seed {run.seed}", _LABEL)
    where = Text(plain_text(str(run.folder)), style=_ACCENT, overflow="fold")
    parts: list[RenderableType] = [grid]
    if (sentence := coverage_sentence(summary)) is not None:
        parts.append(Padding(Text(sentence), (1, 0, 0, 0)))
    parts.append(Padding(Group(Text("run folder", style=_LABEL), where), (1, 0, 0, 0)))
    body = Group(*parts)
    return Panel(body, title=title, title_align="left", border_style=color, padding=(1, 2), expand=False)


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw the course of a metric with block characters: the mean of each of `width` equal parts."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    parts = min(width, len(finite))
    edges = [round(index * len(finite) / parts) for index in range(parts + 1)]
    means = [math.fsum(finite[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(means), max(means)
    span = high - low or 1.0
    return "".join(_BARS[min(7, int(8 * (mean - low) / span))] for mean in means)


def _loss_label(name: str) -> str:
    source, _, metric = name.rpartition("/")
    # `policy/policy_loss` must not read like `policy/loss`, nor be a stammer: it is the policy's part of the loss.
    part = metric.removeprefix(f"{source}_")
    words = f"{source} {metric}" if part == metric else f"{source} own {part}"
    return words.replace("_", " ").replace("/", " ").strip()
