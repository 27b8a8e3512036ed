"""Standard streams that are closed, full or of another encoding do not fail a run."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from pamiq_exp.run_folder.records import Record
from pamiq_exp.streams import _text, _Tolerant
from pamiq_exp.tracking import RecordWriter, RunInfo, TerminalTracker, Tracker

RUN = ("experiment=minimum", "launcher=lockstep", "launcher.max_steps=20", "tracking=terminal", "hydra.run.dir=run")


def program(
    *words: str, folder: Path, prepare: Callable[[], None] | None = None, environment: Mapping[str, str] | None = None,
    **streams: int,
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Run the program in `folder`; `prepare` changes its streams before it starts."""
    repository = str(Path(__file__).resolve().parents[1])
    return subprocess.run(
        [sys.executable, "-m", "pamiq_exp", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": repository, **(environment or {})},
        preexec_fn=prepare,
        check=False,
        timeout=240,
        **streams,  # type: ignore[call-overload]
    )


def closed(*descriptors: int) -> Callable[[], None]:
    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


def to(device: str, descriptor: int) -> Callable[[], None]:
    def point() -> None:
        os.dup2(os.open(device, os.O_WRONLY), descriptor)

    return point


def broken_pipe() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    os.dup2(writing, 2)


STREAMS = {
    "all closed": closed(0, 1, 2),
    "output and errors unread": broken_pipe,
    "output on a full disk": to("/dev/full", 1),
}


FAST = "output and errors unread"


@pytest.mark.parametrize(
    "streams", [pytest.param(each, marks=() if each == FAST else pytest.mark.slow) for each in STREAMS]
)
def test_streams_that_are_closed_or_full_do_not_fail_a_run(tmp_path: Path, streams: str) -> None:
    done = program(*RUN, folder=tmp_path, prepare=STREAMS[streams])
    assert done.returncode == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["state"] == "finished"
    lines = (tmp_path / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line) for line in lines), "an empty record"


def test_streams_replace_characters_that_the_encoding_lacks(tmp_path: Path) -> None:
    done = program(
        *RUN, folder=tmp_path, environment={"PYTHONIOENCODING": "euc_jp:strict"}, stdout=subprocess.PIPE
    )  # fmt: skip
    assert done.returncode == 0
    assert b"? finished" in done.stdout


COMMANDS = (("--help",), ("list", "experiments"), ("check", "experiment=minimum"), ("experiment=no\u2713such",))


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_streams_in_ascii_do_not_fail_a_command(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pamiq_exp.cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict"))
    assert pamiq_exp.cli.main(words) in (0, 2)
    print("\u2713")


def test_streams_report_unwritable_output_in_one_line(tmp_path: Path) -> None:
    done = program("list", "experiments", folder=tmp_path, prepare=to("/dev/full", 1), stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"the standard output cannot be written: No space left on device\n"


def test_streams_with_a_broken_pipe_end_a_command_with_sigpipe(tmp_path: Path) -> None:
    assert program("list", "experiments", folder=tmp_path, prepare=broken_pipe).returncode == 128 + signal.SIGPIPE


class Printing(Tracker):
    """A user's own tracker, which prints a character that the encoding lacks."""

    def write(self, record: Record) -> None:
        print("\u2713", file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"), flush=True)


class _Broken(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error


ERRORS = [BrokenPipeError(), OSError(28, "full"), OSError(5, "gone"), ValueError("I/O operation on closed file")]


def test_terminal_tracker_ignores_errors_of_its_output(tmp_path: Path) -> None:
    for error, terminal in itertools.product(ERRORS, (True, False)):
        console = Console(file=_Broken(error), force_terminal=terminal)
        trackers = {"terminal": TerminalTracker(0.0, 0.0, console), "own": Printing()}
        writer = RecordWriter(trackers, tmp_path, tick_seconds=0.001)
        before = sys.stdout
        writer.start(RunInfo(folder=tmp_path, name="n", experiment_name="e", seed=0))
        writer.put({"environment_step": 1})
        writer.close(0, {"state": "finished"})
        writer.check()
        assert writer.failures == {"own": 1}, (error, terminal)
        assert sys.stdout is before, (error, terminal)


@pytest.mark.parametrize("mode", [{"write_through": True}, {"line_buffering": True}])
def test_streams_write_a_line_at_once_if_the_original_stream_does(mode: dict[str, bool]) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    before = io.TextIOWrapper(io.FileIO(writing, "w", closefd=False), **mode)  # type: ignore[arg-type]
    stream = _text(_Tolerant(writing), before)
    print("dashboard: the address", file=stream)
    assert os.read(reading, 100) == b"dashboard: the address\n"
    stream.close()
    os.close(reading)
    os.close(writing)
