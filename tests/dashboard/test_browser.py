"""The page in a real browser: Chromium of the distribution, driven by Playwright."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import (
    HOSTILE,
    HOSTILE_KEY,
    HOSTILE_METRIC,
    TURNED,
    Site,
    browser_path,
    end_site,
    start_site,
)
from tests.dashboard.live_parts import Arm, LiveWalk, moving_arm

pytest.importorskip("nicegui", reason="the dashboard needs nicegui: extra dashboard")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="the browser is driven by playwright: pip install playwright"
)
if browser_path() is None:
    pytest.skip("no browser is installed: on Debian and Ubuntu, sudo apt install chromium", allow_module_level=True)

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as tools:
        opened = tools.chromium.launch(executable_path=browser_path(), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    """A new browser context; errors and external requests of its pages fail the test."""
    opened = browser.new_context(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(30_000)
    errors: list[str] = []
    external: list[str] = []
    opened.on("weberror", lambda error: errors.append(str(error.error)))
    opened.on("request", lambda request: external.append(request.url) if _leaves(request.url) else None)
    yield opened
    opened.close()
    assert not errors
    assert not external, "the page sent external requests"


def _leaves(address: str) -> bool:
    return not address.startswith(("http://127.0.0.1:", "data:", "blob:"))


def open_page(context: Any, site: Site, path: str = "/") -> Any:
    page = context.new_page()
    page.goto(site.address)
    if path != "/":
        page.goto(site.base + path)
    return page


def wait_for_text(page: Any, pattern: str) -> None:
    playwright.expect(page.locator("body")).to_contain_text(re.compile(pattern), timeout=30_000)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page of a live run, with control."""
    folder = tmp_path_factory.mktemp("live")
    with LiveWalk(folder, interval=0.05):
        site = start_site(folder, "--port", "0", "--control")
        yield site
        end_site(site)


def test_dashboard_updates_the_curve_and_pictures_of_a_live_run(context: Any, live: Site) -> None:
    page = open_page(context, live)
    wait_for_text(page, r"▶ running")
    playwright.expect(page.get_by_role("heading", name="interaction/coverage", exact=True)).to_be_visible()
    steps, points = _records(page), _points(page)
    playwright.expect(page.get_by_alt_text("live view map")).to_be_visible()
    page.evaluate("""() => { window.changes = 0; new MutationObserver(list => { window.changes += list.length })
        .observe(document.querySelector('img[alt="live view image 0"]'), {attributeFilter: ['src']}) }""")
    time.sleep(4.0)
    rate = page.evaluate("window.changes") / 4.0
    assert rate >= (5.0 if os.cpu_count() and os.getloadavg()[0] < 2 * os.cpu_count() else 1.0), (
        f"{rate} pictures a second"
    )
    assert _records(page) > steps, "the curve of the coverage has no new records"
    drawn = _points(page)
    assert len(drawn) > len(points)
    assert drawn[: len(points) - 1] == points[:-1], "new points must follow those that were drawn"


def _records(page: Any) -> int:
    card = page.locator("section").filter(has=page.get_by_role("heading", name="interaction/coverage", exact=True))
    note = card.get_by_text(re.compile(r"\d records")).inner_text()
    return int(note.split()[0].replace(",", ""))


def _points(page: Any) -> list[Any]:
    """The points of the chart of the coverage."""
    script = """() => { const card = [...document.querySelectorAll('section')].find(each =>
        each.querySelector('h3')?.textContent === 'interaction/coverage')
        return getElement(Number(card.querySelector('.d-chart').id.slice(1))).chart.getOption().series[0].data }"""
    page.wait_for_function(f"({script})()?.length > 0")
    points: list[Any] = page.evaluate(script)
    return points


def test_dashboard_pauses_and_resumes_a_run(context: Any, live: Site) -> None:
    page = open_page(context, live)
    wait_for_text(page, r"▶ running")
    page.get_by_role("button", name="pause").click()
    wait_for_text(page, r"⏸ paused")
    page.get_by_role("button", name="resume").click()
    wait_for_text(page, r"▶ running")


@pytest.mark.slow
def test_dashboard_lets_a_person_take_over_and_give_back(context: Any, tmp_path: Path) -> None:
    arm = Arm()
    with LiveWalk(tmp_path, interaction=moving_arm(arm)):
        site = start_site(tmp_path, "--port", "0", "--control")
        page = open_page(context, site)
        wait_for_text(page, r"▶ running")
        page.get_by_role("button", name="take over").click()
        wait_for_text(page, "a person acts: the commands of the agent are withheld")
        assert arm.stopped.is_set()
        withheld = arm.commands
        page.get_by_role("button", name="give back").click()
        playwright.expect(page.get_by_role("button", name="take over")).to_be_visible()
        playwright.expect(page.locator("body")).not_to_contain_text("a person acts: the commands")
        end_site(site)
    assert arm.commands > withheld
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    flags = [each["interaction/time/arm_intervened"] for each in records if each["source"] == "interaction"]
    changes = [new for old, new in zip([None, *flags], flags, strict=False) if new != old]
    assert changes == [0, 1, 0], "the records must have the turns in which a person acted"


def test_dashboard_shows_machine_metrics_with_units(context: Any, live: Site) -> None:
    page = open_page(context, live)
    page.get_by_role("tab", name="machine").click()
    for pattern in (
        r"turn, p99\s*[\d.]+ ms",
        r"memory of the process\s*[\d.]+ [MG]B",
        r"deadline misses\s*\d",
        r"model version",
    ):
        wait_for_text(page, pattern)


def test_dashboard_has_no_control_buttons_if_read_only(context: Any, site: Site) -> None:
    page = open_page(context, site, "/run?key=study%2F0")
    wait_for_text(page, "✓ finished")
    assert page.get_by_role("button", name="pause").count() == 0


def test_dashboard_shows_why_a_job_failed_and_filters_jobs(context: Any, site: Site) -> None:
    page = open_page(context, site, "/sweep?key=sweep")
    wait_for_text(page, "OutOfMemoryError: the batch of job 2 did not fit")
    wait_for_text(page, "2 of 4 jobs done, 1 failed, 1 waiting")
    page.get_by_label("filter jobs").fill("waiting")
    playwright.expect(page.get_by_text("OutOfMemoryError")).to_have_count(0)
    page.get_by_label("filter jobs").fill("")
    page.get_by_role("link", name="2", exact=True).click()
    wait_for_text(page, "✗ failed")


def test_dashboard_shows_hostile_text_as_plain_text_everywhere(context: Any, site: Site) -> None:
    for path in ("/", "/run?key=hostile%2Frun", "/compare?key=hostile%2Frun&key=study%2F0"):
        page = open_page(context, site, path)
        wait_for_text(page, re.escape(HOSTILE))
        for tab in ("config", "log", "files") if "run?key" in path else ():
            page.get_by_role("tab", name=tab).click()
            time.sleep(0.5)
        assert page.locator('img[src="x"]').count() == 0
        assert TURNED not in page.inner_text("body")
        assert page.title() != "taken"
    page = open_page(context, site, "/run?key=hostile%2Frun")
    for name in (HOSTILE_METRIC, HOSTILE_KEY):
        playwright.expect(page.get_by_role("heading", name=name)).to_be_visible()


def test_dashboard_shows_damaged_files_of_a_run(context: Any, site: Site) -> None:
    page = open_page(context, site, "/run?key=damaged")
    wait_for_text(page, "manifest.json is damaged")
    wait_for_text(page, "1 lines are damaged and left out")
    wait_for_text(page, "ends in the middle of a line")


def test_dashboard_searches_pins_and_compares_runs(context: Any, site: Site) -> None:
    page = open_page(context, site)
    wait_for_text(page, r"11 of 11")
    page.get_by_label("search name, state, choices").fill("study reward=random")
    wait_for_text(page, r"3 of 11")
    for key in ("study/3", "study/4"):
        page.get_by_role("button", name=f"pin {key}", exact=True).click()
        playwright.expect(page.get_by_role("button", name=f"unpin {key}")).to_be_visible()
    page.get_by_role("button", name="compare").click()
    wait_for_text(page, "2 runs side by side")
    wait_for_text(page, "no difference in .*machine")
    page.goto(site.base)
    playwright.expect(page.get_by_role("button", name="unpin study/3")).to_be_visible()


def test_dashboard_draws_curves_of_other_runs_beside_those_of_a_run(context: Any, site: Site) -> None:
    page = open_page(context, site, "/run?key=study%2F0")
    wait_for_text(page, "✓ finished")
    page.get_by_role("button", name=re.compile("other runs")).click()
    wait_for_text(page, "10 of 10 runs")
    names = page.get_by_role("checkbox").filter(has_text="study/")
    assert names.first.inner_text().startswith("study/"), "the nearest runs come first"
    page.get_by_label("search runs").fill("study/3")
    wait_for_text(page, "1 of 10 runs")
    page.get_by_role("checkbox", name="study/3: ").click()
    wait_for_text(page, r"other runs \(1 shown\)")
    playwright.expect(page.locator(".d-legend a")).to_have_count(2)
    script = """() => [...document.querySelectorAll('.d-chart')].map(each =>
        getElement(Number(each.id.slice(1))).chart.getOption().series.map(one => one.color))"""
    page.wait_for_function(f"({script})().every(colors => colors.length == 2)")
    assert all(len(set(colors)) == 2 for colors in page.evaluate(script))
    page.get_by_role("checkbox", name="study/3: ").click()
    page.wait_for_function(f"({script})().every(colors => colors.length == 1)")


@pytest.mark.slow
def test_dashboard_writes_a_report_of_chosen_runs(context: Any, site: Site) -> None:
    page = open_page(context, site, "/report?key=study%2F0&key=study%2F3")
    page.get_by_role("link", name="open the report").wait_for()
    answer = page.goto(site.base + page.get_by_role("link", name="open the report").get_attribute("href"))
    assert answer.status == 200
    wait_for_text(page, "coverage")


@pytest.mark.slow
def test_dashboard_finds_and_chooses_metrics_with_the_keyboard(context: Any, site: Site) -> None:
    page = open_page(context, site, "/run?key=study%2F0")
    wait_for_text(page, r"3 of 3 shown")
    page.get_by_role("button", name=re.compile("metrics")).focus()
    page.keyboard.press("Enter")
    page.get_by_label("search metrics").fill("loss")
    wait_for_text(page, "1 of 3 metrics")
    page.get_by_role("checkbox", name="dynamics/loss").focus()
    page.keyboard.press("Space")
    playwright.expect(page.get_by_role("heading", name="dynamics/loss")).to_have_count(0)


@pytest.mark.slow
def test_dashboard_of_an_empty_folder_shows_how_to_start_a_run(context: Any, tmp_path: Path) -> None:
    served = start_site(tmp_path, "--port", "0")
    page = open_page(context, served)
    wait_for_text(page, "No runs here yet")
    wait_for_text(page, "python -m pamiq_exp experiment=curiosity_noise_world")
    page.close()
    end_site(served)


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "brightness"), [("light", range(200, 256)), ("dark", range(60))])
def test_dashboard_follows_the_color_scheme_and_fits_a_narrow_window(
    browser: Any, site: Site, scheme: str, brightness: range
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800})
    for path in ("/run?key=study%2F0", "/sweep?key=sweep", "/compare?key=study%2F0&key=study%2F3"):
        page = open_page(context, site, path)
        wait_for_text(page, "read-only")
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert int(re.findall(r"\d+", color)[0]) in brightness
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    context.close()


@pytest.mark.slow
def test_dashboard_shows_a_killed_run_as_died(context: Any, tmp_path: Path) -> None:
    script = f"from tests.dashboard.live_parts import LiveWalk; from pathlib import Path; import time\n" \
             f"with LiveWalk(Path({str(tmp_path)!r})): time.sleep(300)"  # fmt: skip
    run = subprocess.Popen([sys.executable, "-c", script])
    while not (tmp_path / "console.sock").exists():
        assert run.poll() is None
        time.sleep(0.1)
    site = start_site(tmp_path, "--port", "0")
    page = open_page(context, site)
    wait_for_text(page, "▶ running")
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_for_text(page, "✗ died")
    wait_for_text(page, "was killed and left its socket behind")
    end_site(site)
