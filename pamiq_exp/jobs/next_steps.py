"""What a user can do with a run that has ended: commands that work where it was started."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from pamiq_exp.run_folder import file_names


def next_steps(folder: Path, steps: int, allowed: Sequence[str], *, can_be_evaluated: bool) -> list[str]:
    """Return the commands that show and summarize a run, and evaluate it, or let it go on.

    Args:
        folder: The run folder.
        steps: Environment steps that it has taken.
        allowed: Packages that its config may name.
        can_be_evaluated: Whether `evaluate` takes a run in its environment.
    """
    last = "evaluate" if can_be_evaluated else "resume"
    words = [] if can_be_evaluated else [f"launcher.max_steps={2 * steps}"]
    commands = _commands(_short(folder), last, [*words, *(f"--allow={each}" for each in allowed)])
    return [f"{_program()} {' '.join(map(shlex.quote, words))}" for words in commands]


def _commands(folder: Path, last: str, words: Sequence[str]) -> Iterator[list[str]]:
    if find_spec("nicegui") is not None:
        yield ["dashboard", str(folder)]
    yield ["report", str(folder), "-o", "report"]
    checkpoints = folder / file_names.CHECKPOINTS
    if checkpoints.is_dir() and any(checkpoints.iterdir()):
        yield [last, str(folder), *words]


def _program() -> str:
    """Return how this program is started here: `make run` uses an environment that no shell has to have activated."""
    found = shutil.which("python")
    same = found is not None and Path(found).absolute() == Path(sys.executable).absolute()
    return f"{'python' if same else shlex.quote(str(_short(Path(sys.executable))))} -m pamiq_exp"


def _short(path: Path) -> Path:
    """Return a path as seen from the current folder, if it lies below it."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
