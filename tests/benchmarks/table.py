"""Rows of measured values with their aims."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured value.

    Attributes:
        what: What was measured.
        value: The result, a ratio where two things were measured in one run.
        aim: What it should reach, as text with its direction (`<= 1.2`).
        naive: The same measurement of the naive way, if there is one.
        detail: The values behind a ratio.
    """

    what: str
    value: float
    aim: str
    naive: float | None = None
    detail: str = ""

    @property
    def reached(self) -> bool:
        """Whether the value reaches the aim."""
        direction, limit = self.aim.split()[:2]
        number = float(limit.replace(",", ""))
        return self.value <= number if direction == "<=" else self.value >= number


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | measured | aim | reached | the naive way | behind it |", "|---|---|---|---|---|---|"]
    for row in rows:
        naive = "" if row.naive is None else number(row.naive)
        reached = "yes" if row.reached else "no"
        lines.append(f"| {row.what} | {number(row.value)} | {row.aim} | {reached} | {naive} | {row.detail} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Four significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def median_seconds(action: Callable[[], object], repeats: int = 30, inner: int = 1) -> float:
    """Median wall seconds of one call, over `repeats` groups of `inner` calls, after one group unmeasured."""
    seconds = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        for _ in range(inner):
            action()
        seconds.append((time.perf_counter() - begin) / inner)
    return sorted(seconds[1:])[repeats // 2]
