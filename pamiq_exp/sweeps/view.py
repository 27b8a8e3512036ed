"""How a sweep is shown on a terminal: jobs done, running and failed, time left, the best so far."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeGuard

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pamiq_exp.formatting import clock, plain_text
from pamiq_exp.run_folder.reader import is_number
from pamiq_exp.run_folder.records import HEADLINE_METRICS
from pamiq_exp.sweeps.folder import ENDED_WELL, STATES, JobState, JobView, Plan, SweepFolder

_LABEL, _ACCENT = "grey62", "bright_cyan"
_SIGNS: Mapping[JobState, tuple[str, str]] = {
    "waiting": ("·", _LABEL),
    "running": ("▶", _ACCENT),
    "finished": ("✓", "green"),
    "pruned": ("✂", "green"),
    "stopped": ("■", "yellow"),
    "failed": ("✗", "red"),
    "lost": ("✗", "red"),
}
_MOST_ROWS = 12
"""Of the panel."""

_LOOK_SECONDS = 1.0
_LONG_KEYS, _LONG_NUMBER = 40, 9


class SweepView:
    """What is known of a sweep now, and how it is drawn.

    Args:
        plan: What was planned.
        name: What to call the sweep.
    """

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan = plan
        self.name = name
        self.jobs: Sequence[JobView] = ()
        self._started = time.monotonic()
        self._done_before: float | None = None

    def update(self, jobs: Sequence[JobView]) -> None:
        """Take a new look at the jobs."""
        self.jobs = jobs
        if self._done_before is None:
            self._done_before = self._done()

    @property
    def total(self) -> int:
        """How many jobs there are or will be."""
        return max(self.plan.expected, len(self.jobs))

    def counts(self) -> Counter[JobState]:
        """How many jobs are in each state; those that have no folder yet are waiting."""
        counts = Counter(job.state for job in self.jobs)
        counts["waiting"] += self.total - len(self.jobs)
        return counts

    def seconds_left(self) -> float | None:
        """Estimate how long the rest takes, from what was done since this view began; None if nothing was."""
        if self._done_before is None:
            return None
        done = self._done()
        gained = done - self._done_before
        if gained <= 0:
            return None
        return (time.monotonic() - self._started) / gained * max(0.0, self.total - done)

    def best(self) -> tuple[JobView, str, float] | None:
        """Return the job with the best final metric so far, and its value."""
        for metric in (self.plan.metric,) if self.plan.metric else HEADLINE_METRICS:
            found = [(job, metric, value) for job in self.jobs if _is_finite(value := job.summary.get(metric))]
            if found:
                return (min if self.plan.minimize else max)(found, key=lambda each: each[2])
        return None

    def line(self) -> str:
        """The state of the sweep in one line."""
        counts = self.counts()
        parts = [f"{self._ended()} of {self.total} jobs done"]
        parts += [f"{counts[state]} {state}" for state in STATES if counts[state] and state != "finished"]
        left, best = self.seconds_left(), self.best()
        parts += [f"{clock(left)} left"] if left is not None and self._ended() < self.total else []
        parts += [f"best {best[1]} {best[2]:.4g} (job {best[0].number})"] if best else []
        return ", ".join(parts)

    def panel(self) -> RenderableType:
        """The state of the sweep as a panel: a bar, the line, and the jobs that want attention."""
        state = Table.grid(expand=True)
        state.add_row(ProgressBar(total=max(1, self.total), completed=self._done(), complete_style=_ACCENT))
        state.add_row(Text(plain_text(self.line())))
        return Panel(
            Group(state, Text(), jobs_table(self, _MOST_ROWS)),
            title=Text.assemble(("sweep ", _LABEL), (plain_text(self.name), f"bold {_ACCENT}")),
            title_align="left",
            subtitle=clock(time.monotonic() - self._started),
            border_style=_LABEL,
            padding=(1, 2),
        )

    def difference(self, job: JobView) -> str:
        """In what a job differs from the others; of long keys the last word."""
        common = set.intersection(*(set(each.overrides) for each in self.jobs)) if len(self.jobs) > 1 else set()
        pairs = [word.partition("=")[::2] for word in job.overrides if word not in common]
        ends = [key.rpartition(".")[2] for key, _ in pairs]
        long = sum(len(key) for key, _ in pairs) > _LONG_KEYS
        names = [end if long and ends.count(end) == 1 else key for end, (key, _) in zip(ends, pairs, strict=True)]
        return plain_text(" ".join(f"{name}={_rounded(value)}" for name, (_, value) in zip(names, pairs, strict=True)))

    def _ended(self) -> int:
        return sum(job.state in ENDED_WELL for job in self.jobs)

    def _done(self) -> float:
        return sum(1.0 if job.over else job.fraction for job in self.jobs)


class Watcher:
    """Looks at a sweep from a thread of its own and shows it, until the context ends.

    On a terminal there is a panel; elsewhere a line for every job that ends.

    Args:
        folder: The sweep's folder.
        console: Where it is shown.
    """

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        self._folder = SweepFolder(folder)
        self._console = console or Console(highlight=False, stderr=True)
        self.view = SweepView(self._folder.plan, folder.parent.name)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep-view", daemon=True)
        self._live: Live | None = None
        self._shown_states: dict[int, JobState] = {}

    def __enter__(self) -> SweepView:
        self.view.update(self._folder.jobs())
        self._shown_states = {job.number: job.state for job in self.view.jobs}
        if self._console.is_terminal and not self._console.is_jupyter:
            self._live = Live(self.view.panel(), console=self._console, auto_refresh=False, transient=True)
            self._live.start(refresh=True)
            self._console.show_cursor(True)  # a process that is killed could not show it again
        self._thread.start()
        return self.view

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        if self._live is not None:
            self._live.stop()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        self.view.update(self._folder.jobs())
        if self._live is not None:
            self._live.update(self.view.panel(), refresh=True)
            return
        for job in self.view.jobs:
            if job.over and self._shown_states.get(job.number) != job.state:
                reason = f": {plain_text(job.reason)}" if job.reason and job.state != "finished" else ""
                words = f"job {job.number} {job.state}{reason} ({self.view.difference(job)}); {self.view.line()}"
                self._console.print(Text(words), soft_wrap=True)
            self._shown_states[job.number] = job.state


def jobs_table(view: SweepView, most: int | None = None) -> Table:
    """Return one row a job; if not all are shown, the best one and those that want attention first."""
    best = view.best()
    jobs = list(view.jobs)
    if most is not None and len(jobs) > most:
        order: Sequence[JobState] = ("failed", "lost", "stopped", "running", "waiting", "pruned", "finished")
        jobs.sort(key=lambda job: (best is None or job is not best[0], order.index(job.state)))
        jobs = jobs[:most]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=_LABEL)
    reasons = [plain_text(job.reason) if job.state != "finished" else "" for job in jobs]
    columns = ["job", "state", "done", *([best[1]] if best else []), "what", *(["why"] if any(reasons) else [])]
    for name in columns:
        table.add_column(name, justify="right" if name in ("job", "done") else "left", overflow="fold")
    for job, reason in zip(jobs, reasons, strict=True):
        sign, color = _SIGNS[job.state]
        value = job.summary.get(best[1]) if best else None
        cells = [Text(str(job.number)), Text(f"{sign} {job.state}", style=color), Text(f"{100 * job.fraction:.0f} %")]
        cells += [Text(f"{value:.4g}" if is_number(value) else "")] if best else []
        table.add_row(*cells, Text(view.difference(job)), *([Text(reason, style=color)] if any(reasons) else []))
    return table


def _rounded(value: str) -> str:
    """Return a setting with no more digits than tell it from others: a search draws numbers with seventeen."""
    with suppress(ValueError):
        return f"{float(value):.4g}" if len(value) > _LONG_NUMBER else value
    return value


def _is_finite(value: object) -> TypeGuard[float]:
    return is_number(value) and math.isfinite(value)
