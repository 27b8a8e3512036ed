"""The command line.

A first word without `=` or `-` is a command, and a module of this folder (`sweep-status` is `sweep_status.py`); without
one it is `run`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from pamiq_exp.jobs.signals import interruptible, status_of
from pamiq_exp.streams import replace_unknown_characters

__all__ = ["command_names", "main"]


def command_names() -> list[str]:
    """Return the commands there are, without importing any."""
    modules = iter_modules([str(Path(__file__).parent)])
    return sorted(module.name.replace("_", "-") for module in modules if module.name[0] != "_")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status.

    0; 1 for a run that failed; 2 for a wrong request; 128 + n when signal n ended it.
    """
    replace_unknown_characters()
    words = [*(sys.argv[1:] if arguments is None else arguments)]  # `list` is a command here once it is imported
    command = "run"
    if words and not words[0].startswith("-") and "=" not in words[0]:
        command = words.pop(0)
    try:
        with interruptible():
            return _run(command, words)
    except KeyboardInterrupt as error:
        print(f"\n{error or 'SIGINT'}: ended", file=sys.stderr)
        return status_of(error)


def _run(command: str, words: list[str]) -> int:
    if command not in command_names():
        from pamiq_exp.config.errors import nearest

        hint = nearest(command, command_names(), listing="commands")
        print(f"there is no command '{command}'\n    {hint}", file=sys.stderr)
        return 2
    return int(import_module(f"pamiq_exp.cli.{command.replace('-', '_')}").main(words))
