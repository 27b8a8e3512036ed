"""One chart in the browser, which is sent what has changed since it was drawn last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from nicegui import json
from nicegui.element import Element

Points: TypeAlias = Sequence[Sequence[float | None]]
"""Pairs of x and y; y is None where there is a gap."""

Curves: TypeAlias = list[tuple[int, Points]]
"""For each curve the number of points that stay, and the points that come after them."""


class Drawn:
    """What a chart shows."""

    def __init__(self) -> None:
        self._frame: Mapping[str, Any] | None = None
        self._points: list[Points] = []

    def change(self, options: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, Curves] | None:
        """Return what leads from what is shown to something else, and take that for shown.

        Args:
            options: The whole chart as ECharts takes it, with the points of each series in `data`.

        Returns:
            The chart without its points, or None if that part stays; and its curves. None if all is the same.
        """
        series: Sequence[Mapping[str, Any]] = options["series"]
        frame = {**options, "series": [{**each, "data": None} for each in series]}
        points: list[Points] = [each["data"] for each in series]
        stays = frame == self._frame
        if stays and points == self._points:
            return None
        before = self._points if stays else [()] * len(points)
        self._frame, self._points = frame, points
        return None if stays else frame, [_added(*each) for each in zip(before, points, strict=True)]


class Chart(Element, component="chart.js"):
    """A chart, empty at first.

    Args:
        label: What it is called for those who do not see it.
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        self.classes("d-chart")
        self.props["role"] = "img"
        self.props["aria-label"] = label
        self._drawn = Drawn()

    def script(self, options: Mapping[str, Any]) -> str | None:
        """Return the script that draws `options`; None if that is what is shown."""
        change = self._drawn.change(options)
        return None if change is None else f"runMethod({self.id}, 'draw', {json.dumps(change)})"


def draw(charts: Mapping[Chart, Mapping[str, Any]]) -> None:
    """Show a chart, or several at once: as one message, which the browser draws in one frame.

    Args:
        charts: For each the whole chart as ECharts takes it.
    """
    scripts = [script for chart, options in charts.items() if (script := chart.script(options)) is not None]
    if scripts and not (any_chart := next(iter(charts))).is_deleted:  # the browser may have left meanwhile
        any_chart.client.run_javascript(";".join(scripts))


def _added(old: Points, new: Points) -> tuple[int, Points]:
    """Return how many points stay, and those that come after them."""
    stay = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
                min(len(old), len(new)))  # fmt: skip
    return stay, new[stay:]
