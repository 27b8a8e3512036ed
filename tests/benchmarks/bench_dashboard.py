"""What an open page costs a live run, and how long pages take to appear.

    python -m tests.benchmarks.bench_dashboard

The live run is a random walk of two environments through the noise world. Stretches with the page open and without
follow each other, so that what else the machine does falls on both alike. With more than one core, the run has the
first one, and the page and its browser have the others. Takes four minutes at most: what is left of them after the
other two measurements goes to the stretches.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_exp.dashboard.chart import Drawn
from pamiq_exp.dashboard.charts import first_choice, line, options
from pamiq_exp.dashboard.watched import WatchedRun
from pamiq_exp.run_folder.reader import Place
from tests.analysis.folders import write_run
from tests.dashboard.conftest import Site, browser_path, end_site, start_site
from tests.dashboard.live_parts import LiveWalk
from tests.dashboard.test_browser import FLAGS

ALL_SECONDS = 225.0
FEWEST_PAIRS, MOST_PAIRS, SECONDS, SETTLE = 3, 16, 4.0, 1.5
RECORDS, METRICS, RUNS, VISITS, UPDATES = 100_000, 50, 500, 3, 10


def main() -> None:
    """Print everything."""
    from playwright.sync_api import sync_playwright

    end = time.monotonic() + ALL_SECONDS
    print(f"load of the last minute: {os.getloadavg()[0]:.1f}", flush=True)
    with sync_playwright() as tools, tempfile.TemporaryDirectory() as place:
        with browser_of(tools) as browser:
            bench_long_run(browser, Path(place, "long"))
            bench_many_runs(browser, Path(place, "many"))
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[1:] or cores)
        with browser_of(tools) as browser:
            bench_live_run(browser, Path(place, "live"), cores[0], end)
    print(f"load of the last minute: {os.getloadavg()[0]:.1f}")


@contextmanager
def browser_of(tools: Any) -> Iterator[Any]:
    """Open a browser, on the cores that this process may use now."""
    browser = tools.chromium.launch(executable_path=browser_path(), args=FLAGS)
    yield browser
    browser.close()


def bench_live_run(browser: Any, place: Path, core: int, end: float) -> None:
    """Print p50 and p99 of a turn with and without the page, their ratios, and the pictures a second.

    Args:
        browser: Shows the page.
        place: Where the run is kept.
        core: Where the run goes on, once it and the page have begun.
        end: When to be done (`time.monotonic`).
    """
    durations: list[float] = []
    stretches: dict[bool, list[list[float]]] = {False: [], True: []}
    rates: list[float] = []
    place.mkdir()
    walk = LiveWalk(place, interval=0.02)
    walk.interaction.step = timed(walk.interaction.step, durations)  # type: ignore[method-assign]
    with walk, served(place) as site:
        page = opened(browser, site)
        for thread in os.listdir("/proc/self/task"):  # server and browser, which were started before, stay elsewhere
            os.sched_setaffinity(int(thread), {core})
        for number in range(2 * MOST_PAIRS):
            if number >= 2 * FEWEST_PAIRS and not number % 2 and time.monotonic() + 2 * (SETTLE + SECONDS) > end:
                break
            open_page = bool(number % 2)
            page.goto(site.base if open_page else "about:blank")
            time.sleep(SETTLE)
            rate = watch(page) if open_page else None
            durations.clear()
            time.sleep(SECONDS)
            stretches[open_page].append(list(durations))
            rates += [rate()] if rate is not None else []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        without, beside = (quantile(np.concatenate(stretches[key]), share) for key in (False, True))
        low, high = ratio_interval(stretches, share)
        print(f"turn {name}: {without:.2f} ms without a page, {beside:.2f} ms beside one, ratio "
              f"{beside / without:.3f}, 95 % of resampled pairs in [{low:.3f}, {high:.3f}]")  # fmt: skip
    print(f"{len(rates)} pairs of stretches, pictures a second: {statistics.median(rates):.1f}")


def ratio_interval(stretches: dict[bool, list[list[float]]], share: float) -> tuple[float, float]:
    """Return the bootstrap interval of the ratio of a quantile, over pairs of stretches."""
    draws = np.random.default_rng(0)
    ratios, pairs = [], len(stretches[True])
    for _ in range(500):
        chosen = draws.integers(pairs, size=pairs)
        without, beside = (
            quantile(np.concatenate([stretches[key][at] for at in chosen]), share) for key in (False, True)
        )
        ratios.append(beside / without)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def bench_long_run(browser: Any, place: Path) -> None:
    """Print how long a run with many records takes to be drawn, and what one new record costs."""
    path = write_run(place / "run", state="running", records=[]) / "metrics.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(record_line(step) for step in range(RECORDS))
    size = path.stat().st_size / 1e6
    with served(place / "run") as site:
        firsts, wholes = [], []
        for _ in range(VISITS):
            page = opened(browser, site, wait=False)
            begin = time.perf_counter()
            page.goto(site.base)
            page.wait_for_function(
                "count => document.querySelectorAll('.d-chart canvas').length >= count", arg=6, polling=20
            )
            wholes.append(time.perf_counter() - begin)
            firsts.append(first_paint(page))
            page.context.close()
        end_to_end = updates(opened(browser, site), path)
    watched = WatchedRun(Place(".", place / "run", "run"), control=False)
    watched.look()
    print(f"{RECORDS:,} records of {METRICS} metrics ({size:.0f} MB): first paint {spread(firsts)} s, six curves drawn "
          f"after {spread(wholes)} s")  # fmt: skip
    print(f"one new record: {spread(server_costs(watched, path), 1e3)} ms in the server, "
          f"{spread(end_to_end, 1e3)} ms in the browser from the message to the end of the next frame",
          flush=True)  # fmt: skip


def bench_many_runs(browser: Any, place: Path) -> None:
    """Print how long a list of many runs takes to appear."""
    for number in range(RUNS):
        write_run(place / str(number), seed=number, summary={"coverage": 0.5})
    with served(place) as site:
        firsts, wholes = [], []
        for _ in range(VISITS):
            page = opened(browser, site, wait=False)
            begin = time.perf_counter()
            page.goto(site.base)
            page.get_by_text(f"{RUNS} of {RUNS}").wait_for()
            page.locator("tbody tr").nth(20).wait_for()
            wholes.append(time.perf_counter() - begin)
            firsts.append(first_paint(page))
            page.context.close()
    print(f"{RUNS} runs: first paint {spread(firsts)} s, listed after {spread(wholes)} s", flush=True)


def record_line(step: int) -> str:
    """Return one record."""
    metrics = "".join(f', "interaction/metric_{name:02d}": {(step * (name + 1)) % 997 / 997:.12f}'
                      for name in range(METRICS))  # fmt: skip
    return (f'{{"source": "interaction", "environment_step": {step}, "wall_seconds": {step / 50:.3f}, "run_seconds": '
            f'{step / 50:.3f}, "model_version": {step // 100}, "training_step": {step // 10}{metrics}}}\n')  # fmt: skip


def updates(page: Any, path: Path) -> list[float]:
    """Add records while the page is open; return the seconds from the arrival of each message of new points to the end
    of the next frame in the browser."""
    page.locator(".d-chart canvas").nth(5).wait_for()
    page.evaluate("""() => { window.costs = []; const note = event => {
        if (typeof event.data === 'string' && event.data.includes('runMethod'))
            requestAnimationFrame(() => setTimeout(() => window.costs.push(performance.now() - event.timeStamp))) }
        window.socket.io.engine.transport.ws.addEventListener('message', note) }""")
    for step in range(RECORDS, RECORDS + UPDATES):
        with open(path, "a", encoding="utf-8") as file:
            file.write(record_line(step))
        time.sleep(1.1)
    return [cost / 1e3 for cost in page.evaluate("window.costs")]


def server_costs(watched: WatchedRun, path: Path) -> list[float]:
    """Return the seconds from each new record in the file to the message that the server sends."""
    names = first_choice(watched.metrics.names())
    costs = []
    charts = {name: Drawn() for name in names}
    for step in range(RECORDS + UPDATES, RECORDS + 2 * UPDATES):
        with open(path, "a", encoding="utf-8") as file:
            file.write(record_line(step))
        begin = time.perf_counter()
        watched.metrics.poll()
        for name, chart in charts.items():
            json.dumps(chart.change(options(series_of(watched, name), "environment_step")))
        costs.append(time.perf_counter() - begin)
    return costs


def series_of(watched: WatchedRun, name: str) -> list[dict[str, Any]]:
    """Return what is drawn of a metric."""
    curve = watched.metrics.curve(name, "environment_step")
    assert curve is not None
    return [line("run", curve.x, curve.y, "#000000", "solid")]


@contextmanager
def served(root: Path) -> Iterator[Site]:
    """Serve a folder."""
    site = start_site(root, "--port", "0")
    try:
        yield site
    finally:
        end_site(site)


def opened(browser: Any, site: Site, *, wait: bool = True) -> Any:
    """Return a page of a browser that has seen nothing but knows the token."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    name, _, value = site.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "domain": "127.0.0.1", "path": "/"}])
    page = context.new_page()
    if wait:
        page.goto(site.base)
    return page


def first_paint(page: Any) -> float:
    """Return the seconds until the browser painted the first content of the page."""
    name = "first-contentful-paint"
    return float(page.evaluate("name => performance.getEntriesByName(name)[0].startTime", name)) / 1e3


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """Return the median and the largest of some values."""
    return f"{scale * statistics.median(values):.2f} (at most {scale * max(values):.2f})"


def timed(step: Callable[[], None], durations: list[float]) -> Callable[[], None]:
    """Return a step that notes how long it takes."""

    def take() -> None:
        begin = time.perf_counter()
        step()
        durations.append(time.perf_counter() - begin)

    return take


def quantile(durations: np.ndarray, share: float) -> float:
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
