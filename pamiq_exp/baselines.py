"""A sentence that compares the coverage of a run with that of random walks."""

from __future__ import annotations

import math
from collections.abc import Mapping


def coverage_sentence(summary: Mapping[str, object]) -> str | None:
    """Return one sentence on what a run and its random walks visited; None if its coverage or both walks are missing.

    Args:
        summary: `coverage` and at least one of `coverage_random` and `coverage_sticky_random`, shares from 0 to 1, and
            `coverage_random_steps` or `coverage_sticky_random_steps` where a walk was shorter than the run.
    """
    own, uniform, sticky = (_percent(summary.get(f"coverage{kind}")) for kind in ("", "_random", "_sticky_random"))
    if own is None or (uniform is None and sticky is None):
        return None
    steps = summary.get("coverage_sticky_random_steps" if uniform is None else "coverage_random_steps")
    length = f"of {steps:,.0f} steps" if isinstance(steps, (int, float)) else "of the same length"
    if uniform is None:
        walks = f"a random walk with inertia {length} visits {sticky}"
    else:
        walks = f"a random walk {length} visits {uniform}" + (f", one with inertia {sticky}" if sticky else "")
    return f"visited {own} of the reachable cells; {walks}"


def _percent(share: object) -> str | None:
    if not isinstance(share, (int, float)) or not math.isfinite(share):
        return None
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %"
