"""The choice of other runs whose curves are drawn beside those of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from nicegui import run, ui

from pamiq_exp.dashboard import shell
from pamiq_exp.dashboard.charts import COLORS, legend
from pamiq_exp.dashboard.reader import RunLine
from pamiq_exp.dashboard.watched import Watched, WatchedRun
from pamiq_exp.formatting import printable

MOST_OTHERS = len(COLORS) - 1
"""So that each curve has a color of its own."""

_MOST_CHOICES = 40

Show: TypeAlias = Callable[[Sequence[WatchedRun], Sequence[str]], Awaitable[None]]


class OtherRuns:
    """Offers the runs of the folder, the nearest ones first, and hands the chosen ones on.

    Args:
        watched: The runs there are.
        own: The run of the page, which is always drawn.
        show: Takes the runs that are drawn and what they are called.
    """

    def __init__(self, watched: Watched, own: WatchedRun, show: Show) -> None:
        self._watched, self._own, self._show = watched, own, show
        self._lines: list[RunLine] = []
        self._chosen: list[str] = []
        self._found = ""
        with ui.expansion("other runs (none shown)", on_value_change=self._open).props("dense") as self._box:
            search = ui.input("search runs", on_change=self._search)
            search.props("dense outlined clearable debounce=200").style("max-width: 320px")
            self._count = ui.label().classes("d-dim")
            self._choices = shell.element("div", "d-list")
        self._legend = shell.element("div")

    async def _open(self, event: Any) -> None:
        if event.value:
            await run.io_bound(self._watched.runs.look)
            lines = await run.io_bound(self._watched.runs.lines)
            own = self._own.place.key
            others = [line for line in lines or [] if line.place.key != own]
            self._lines = sorted(others, key=lambda line: -_shared_parts(own, line.place.key))
            self._list()

    def _search(self, event: Any) -> None:
        self._found = str(event.value or "")
        self._list()

    def _list(self) -> None:
        words = self._found.lower().split()
        found = [line for line in self._lines if all(word in _name(line).lower() for word in words)]
        found.sort(key=lambda line: line.place.key not in self._chosen)
        more = f"; {len(found) - _MOST_CHOICES:,} more: type to narrow" if len(found) > _MOST_CHOICES else ""
        none = "there are no others in this folder: name the folder above it to the command"
        self._count.set_text(f"{len(found):,} of {len(self._lines):,} runs{more}" if self._lines else none)
        self._choices.clear()
        with self._choices:
            for line in found[:_MOST_CHOICES]:
                key = line.place.key
                ui.checkbox(_name(line), value=key in self._chosen, on_change=self._chooser(key)).props("dense")

    def _chooser(self, key: str) -> Callable[[Any], Any]:
        async def choose(event: Any) -> None:
            chosen = [each for each in self._chosen if each != key]
            if event.value and len(chosen) == MOST_OTHERS:
                ui.notify(f"at most {MOST_OTHERS} others, so that colors tell them apart; compare more from the list")
                event.sender.set_value(False)
                return
            if (chosen + [key] * bool(event.value)) != self._chosen:
                self._chosen = chosen + [key] * bool(event.value)
                await self._draw()

        return choose

    async def _draw(self) -> None:
        found = await run.io_bound(lambda: [self._watched.run(key) for key in self._chosen]) or []
        others = [each for each in found if each is not None]
        await run.io_bound(lambda: [each.look() for each in others])
        runs = [self._own, *others]
        labels = [f"{each.title} ({each.place.key})" for each in runs] if others else [self._own.title]
        self._box.set_text(f"other runs ({len(others) or 'none'} shown)")
        self._legend.clear()
        if others:
            with self._legend:
                legend(labels, [shell.address("/run", key=each.place.key) for each in runs])
        await self._show(runs, labels)


def _name(line: RunLine) -> str:
    seed = "" if line.files.seed is None else f", seed {line.files.seed}"
    return printable(f"{line.place.key}: {line.files.experiment_name}{seed}")


def _shared_parts(key: str, other: str) -> int:
    """Return how many folders two keys share, from the outermost on."""
    count = 0
    for mine, theirs in zip(key.split("/")[:-1], other.split("/")[:-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count
