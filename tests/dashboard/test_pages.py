"""The answers of the pages and routes, which escape all text of a run folder."""

from __future__ import annotations

from urllib.parse import urlencode

from pamiq_exp.dashboard.routes import _span
from pamiq_exp.dashboard.sweep_page import arms_of, differing_choices
from tests.dashboard.conftest import HOSTILE, Site


def media(site: Site, name: str, key: str = "hostile/run", **headers: str) -> tuple[int, bytes]:
    answer = site.get(f"/media?{urlencode({'key': key, 'name': name})}", **headers)
    return answer.status, answer.body


PATHS = (
    "/",
    "/run?key=hostile%2Frun",
    "/run?key=damaged",
    "/run?key=nowhere",
    f"/run?{urlencode({'key': HOSTILE})}",
    "/sweep?key=sweep",
    "/sweep?key=x",
    "/compare?key=study%2F0&key=study%2F3",
    "/compare",
    "/report?key=nowhere",
)


def test_pages_are_served_escape_hostile_text_and_fetch_nothing_external(site: Site) -> None:
    for path in PATHS:
        answer = site.get(path)
        assert answer.status == 200, path
        assert HOSTILE not in answer.text, path
        assert answer.headers["content-type"].startswith("text/html"), path
        assert "default-src 'self'" in answer.headers["content-security-policy"], path
        assert not [word for word in ("https://", "//cdn", "googleapis") if word in answer.text], path


def test_routes_serve_media_whole_and_in_ranges(site: Site) -> None:
    status, body = media(site, "view.png")
    assert (status, len(body)) == (200, 108)
    assert media(site, "view.png", Range="bytes=0-7") == (206, b"\x89PNG\r\n\x1a\n")
    answer = site.get("/media?key=hostile%2Frun&name=view.png", Range="bytes=100-")
    assert answer.headers["content-range"] == "bytes 100-107/108"
    assert answer.headers["content-type"] == "image/png"


def test_routes_serve_only_the_media_of_the_run(site: Site) -> None:
    names = ("page.html", "link.png", "../manifest.json", "../../../etc/passwd", "/etc/passwd", "", "nothing.png",
             "a\0.png")  # fmt: skip
    for name in names:
        assert media(site, name)[0] == 404, name
    assert media(site, "view.png", key="../outputs/hostile/run")[0] == 404


def test_routes_answer_404_for_unknown_paths(site: Site) -> None:
    for path in ("/docs", "/openapi.json", "/static/../../etc/passwd", "/reports/x", "/_nicegui/x"):
        assert site.get(path).status == 404, path


def test_span_parses_byte_ranges() -> None:
    spans = {
        "": None, "bytes=0-0": (0, 0), "bytes=5-": (5, 9), "bytes=-3": (7, 9), "bytes=0-99": (0, 9),
        "bytes=20-": None, "bytes=-": None, "bytes=0-1,3-4": None, "lines=0-1": None, "bytes=-99": (0, 9),
    }  # fmt: skip
    assert {asked: _span(asked, 10) for asked in spans} == spans


class Job:
    def __init__(self, number: int, *overrides: str) -> None:
        self.number, self.overrides = number, overrides


def test_arms_of_jobs_are_their_differing_choices_grouped_over_seeds() -> None:
    jobs = [Job(0, "a=1", "x=1", "seed=0"), Job(1, "a=1", "x=1", "seed=1"), Job(2, "a=1", "x=2", "seed=0")]
    assert differing_choices(jobs)[0] == ("x=1", "seed=0")  # type: ignore[arg-type]
    assert [(arm.name, arm.jobs) for arm in arms_of(jobs)] == [("x=1", (0, 1)), ("x=2", (2,))]  # type: ignore[arg-type]
