"""A signal before the run has started ends the command with one line and the exit status of a shell."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import DOLL
from tests.conftest import Command

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")

WORLD = """
import os, signal
from pathlib import Path
from tests.config.parts import Room

def ask(moment):
    wanted, number = Path({place!r}).read_text().split()
    if wanted == moment:
        os.kill(os.getpid(), signal.Signals[number])

class World(Room):
    built = 0

    def __init__(self, **settings):
        super().__init__(**settings)
        World.built += 1
        ask(f"built-{{World.built}}")

ask("imported")
"""


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A command line whose environment sends a signal to this process at the moment that `when` names."""
    name = f"signaling_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(WORLD.format(place=str(tmp_path / "when")))
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    text = DOLL.replace("tests.config.parts.Room", f"{name}.World")
    (tmp_path / "conf" / "experiment" / "doll.yaml").write_text(text)
    before = {number: signal.getsignal(signal.Signals[number]) for number in SIGNALS}
    yield [
        "--config-dir", str(tmp_path / "conf"), "--allow", "tests.config.parts", "--allow", name, "experiment=doll",
        "hydra.run.dir=run",
    ]  # fmt: skip
    assert {number: signal.getsignal(signal.Signals[number]) for number in SIGNALS} == before


@pytest.mark.parametrize("name", SIGNALS)
def test_interrupt_during_imports_exits_with_the_signal_status(
    command: Command, words: list[str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "when").write_text(f"imported {name}")
    outcome = command(*words)
    assert outcome.status == 128 + signal.Signals[name]
    assert outcome.err.split() == [f"{name}:", "ended"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1"])
def test_interrupt_during_check_or_build_exits_with_the_signal_status(
    command: Command, words: list[str], tmp_path: Path, name: str
) -> None:
    for number in (1, 2, 3):
        (tmp_path / "when").write_text(f"built-{number} {name}")
        if (module := sys.modules.get(words[5])) is not None:
            module.World.built = 0
        outcome = command(*words)
        assert outcome.status == 128 + signal.Signals[name], outcome.err
        assert "Traceback" not in outcome.err
        lines = [line for line in outcome.err.splitlines() if line and not line.startswith("chosen:")]
        assert len(lines) == 1
        if (tmp_path / "run" / "manifest.json").exists():
            manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
            assert (manifest["state"], manifest["reason"]) == ("stopped", name)
            return
    raise AssertionError("no signal came while the run was built")
