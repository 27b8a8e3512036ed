"""Settings, fixtures and functions for all tests."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import settings

from pamiq_exp.option_files import find_file, places, text_in

REPOSITORY = Path(__file__).resolve().parent.parent

# Before anything imports them: no test talks to a server or opens a window.
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", MPLBACKEND="agg", SDL_VIDEODRIVER="dummy")
os.environ.pop("PAMIQ_EXP_ALLOW", None)
# Torch would start a thread for every core: on small tensors that costs more than it gains.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test needs files to be safe on disk, and waiting for the disk takes longer than many tests.
os.fsync = lambda descriptor: os.fstat(descriptor) and None

# A shell that starts tests in the background lets them ignore Ctrl-C, and runs would ignore it, too.
for _signal in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _signal == signal.SIGINT else signal.SIG_DFL)

settings.register_profile("pamiq_exp", deadline=None, max_examples=50)
settings.load_profile("pamiq_exp")


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


Command: TypeAlias = Callable[..., Outcome]
"""The type of the fixture `command`."""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command line in this process, in an empty folder, which is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))

    # Hydra's --info sets up logging for a process that ends soon.
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    monkeypatch.setattr(logging.root, "level", logging.root.level)

    def run(*words: str) -> Outcome:
        import pamiq_exp.cli

        capfd.readouterr()
        try:
            status = pamiq_exp.cli.main(words)
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        return Outcome(status, *capfd.readouterr())

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, since they share fixtures, but spread the pages of the documentation."""
    for item in items:
        call = getattr(item, "callspec", None)
        page = call.params.get("page") if call else None
        item.add_marker(pytest.mark.xdist_group(str(page if isinstance(page, Path) else item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Keep what was imported out of garbage collections: each launch begins with one, of a million objects else."""
    if "torch" not in sys.modules:  # where other processes run the tests
        return (yield)
    from pamiq_exp.runtime.process_settings import frozen_heap

    with frozen_heap():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep reports to text that UTF-8 knows: pytest-xdist cannot send anything else."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(autouse=True, scope="module")
def freeze_what_is_imported() -> None:
    """Keep what the tests of earlier files have imported out of garbage collections, too."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


def experiment_names() -> Sequence[str]:
    """The shipped experiments."""
    return options_of("experiment")


def options_of(group: str) -> list[str]:
    """The shipped options of a config group."""
    conf = REPOSITORY / "conf"
    return sorted(place.rpartition("/")[2] for place, _ in places(conf) if place.rpartition("/")[0] == group)


def text_of_option(place: str) -> str:
    """The text of a shipped option such as `world/clean`."""
    path = find_file(REPOSITORY / "conf", place)
    assert path is not None, f"there is no {place}"
    return text_in(path, place)
