"""What an open page costs a live run: the time of a turn beside it and without it, in turns, and pictures a second.

    python -m tests.benchmarks.bench_dashboard

The run is a random walk of two environments through the noise world. Stretches with the page open and without follow
each other, so that what else the machine does falls on both alike; medians over the stretches are printed. With more
than one core, the run has the first one and the page the others.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.dashboard.conftest import browser_path, end_site, start_site
from tests.dashboard.live_parts import LiveWalk
from tests.dashboard.test_browser import FLAGS

STRETCHES, SECONDS, SETTLE = 8, 5.0, 2.0


def timed(step: Callable[[], None], durations: list[float]) -> Callable[[], None]:
    """Return a step that notes how long it takes."""

    def take() -> None:
        begin = time.perf_counter()
        step()
        durations.append(time.perf_counter() - begin)

    return take


def main() -> None:
    """Print p50 and p99 of a turn with and without the page, their ratio, and the pictures a second."""
    from playwright.sync_api import sync_playwright

    durations: list[float] = []
    stretches: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as place, sync_playwright() as tools:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[1:] or cores)
        walk = LiveWalk(Path(place), interval=0.02)
        walk.interaction.step = timed(walk.interaction.step, durations)  # type: ignore[method-assign]
        with walk:
            site = start_site(Path(place), "--port", "0")
            page = tools.chromium.launch(executable_path=browser_path(), args=FLAGS).new_page()
            page.goto(site.address)
            for thread in os.listdir("/proc/self/task"):  # what was started before keeps the other cores
                os.sched_setaffinity(int(thread), cores[:1])
            for number in range(2 * STRETCHES):
                open_page = bool(number % 2)
                page.goto(site.base if open_page else "about:blank")
                time.sleep(SETTLE)
                rate = watch(page) if open_page else None
                durations.clear()
                time.sleep(SECONDS)
                stretches[open_page].append((quantile(durations, 0.5), quantile(durations, 0.99)))
                rates += [rate()] if rate is not None else []
            end_site(site)
    for index, name in enumerate(("p50", "p99")):
        without, beside = (statistics.median(each[index] for each in stretches[key]) for key in (False, True))
        print(
            f"turn {name}: {without:.2f} ms without, {beside:.2f} ms beside an open page, ratio {beside / without:.3f}"
        )
    print(f"pictures a second: {statistics.median(rates):.1f}")


def quantile(durations: list[float], share: float) -> float:
    """Return a quantile in milliseconds."""
    return 1e3 * float(np.quantile(durations, share))


def watch(page: Any) -> Callable[[], float]:
    """Count the changes of the first picture from now on; what is returned gives their rate."""
    page.get_by_alt_text("live view image 0").wait_for()
    page.evaluate("""() => { window.changes = 0; new MutationObserver(list => { window.changes += list.length })
        .observe(document.querySelector('img[alt="live view image 0"]'), {attributeFilter: ['src']}) }""")
    begin = time.monotonic()
    return lambda: float(page.evaluate("window.changes")) / (time.monotonic() - begin)


if __name__ == "__main__":
    main()
