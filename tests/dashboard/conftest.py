"""A dashboard that is served for the tests, and its runs."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.analysis.folders import write_run, write_study

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
"""Text that would run as code if it were taken for HTML."""

TURNED = "\u202e"
"""The character that lets the following text run from right to left."""

HOSTILE_METRIC = f"interaction/{HOSTILE}"
HOSTILE_KEY = "interaction/:formatter"
"""The front end treats keys with a colon as code: names of metrics must never become keys."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


@dataclass
class Site:
    """A served page."""

    root: Path
    address: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    @property
    def cookie(self) -> str:
        return f"pamiq_exp_{self.port}={self.token}"

    def get(self, path: str, *, method: str = "GET", known: bool = True, **headers: str) -> Answer:
        """Send a request, with the token or (`known=False`) without it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={**({"Cookie": self.cookie} if known else {}), **given})
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer


def start_site(root: Path, *words: str) -> Site:
    """Serve a folder in a separate process."""
    command = [sys.executable, "-m", "pamiq_exp", "dashboard", str(root), "--no-browser", "--with-parent", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return Site(root, process.stdout.readline().strip(), process)


def end_site(site: Site) -> None:
    """End the process by closing its standard input."""
    assert site.process.stdin is not None
    site.process.stdin.close()
    site.process.wait(20)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: a study, a sweep, damaged and hostile ones."""
    folder = tmp_path_factory.mktemp("outputs")
    write_study(folder / "study", arms={"curious": 0.8, "random": 0.4}, worlds=("clean",), seeds=3)
    write_sweep(folder / "sweep")
    hostile = write_run(
        folder / "hostile" / "run",
        state="failed",
        reason=f"ValueError: {HOSTILE}",
        experiment_name=HOSTILE,
        overrides=[f"name={HOSTILE}", f"{TURNED}seed=0"],
        config={HOSTILE: HOSTILE, ":key": "alert(1)"},
        records=[
            {"source": "interaction", "environment_step": step, "wall_seconds": 0.1 * step, "run_seconds": 0.1 * step,
             "model_version": 0, "training_step": 0, HOSTILE_METRIC: float(step), HOSTILE_KEY: 2.0 * step}
            for step in range(1, 21)
        ],
    )  # fmt: skip
    (hostile / "log.txt").write_text(f"2026-01-01 00:00:00,000 WARNING MainThread x: {HOSTILE}\n")
    (hostile / "media" / "view.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    (hostile / "media" / "page.html").write_text("<script>alert(1)</script>")
    (hostile / "media" / "link.png").symlink_to("/etc/passwd")
    damaged = write_run(folder / "damaged")
    (damaged / "manifest.json").write_text('{"state": "finis')
    with open(damaged / "metrics.jsonl", "ab") as file:
        file.write(b'not a record\n{"source": "interaction", "environment_st')
    return folder


def write_sweep(folder: Path) -> None:
    """Write a sweep of two arms with two seeds, of which one job failed and one was not begun."""
    jobs = [[f"reward={reward}", f"seed={seed}"] for reward in ("icm", "rnd") for seed in range(2)]
    for number, (reward, seed) in enumerate(jobs[:3]):
        failed = number == 2
        write_run(
            folder / str(number),
            seed=int(seed.partition("=")[2]),
            overrides=[reward],
            state="failed" if failed else "finished",
            reason="OutOfMemoryError: the batch of job 2 did not fit" if failed else None,
            summary=None if failed else {"coverage": 0.5 + 0.1 * number},
        )
    plan = {
        "schema": 1,
        "words": ["-m"],
        "command": ["python"],
        "experiment_name": "study",
        "jobs": jobs,
        "expected": 4,
    }
    (folder / "sweep.json").write_text(json.dumps(plan))


@pytest.fixture(scope="session")
def site(root: Path) -> Iterator[Site]:
    """The page of these runs, read-only."""
    pytest.importorskip("nicegui", reason="the dashboard needs nicegui: extra dashboard")
    served = start_site(root, "--port", "0")
    yield served
    end_site(served)


def browser_path() -> str | None:
    """Where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
