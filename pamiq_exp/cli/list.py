"""`python -m pamiq_exp list [WHAT]`: what there is to choose, each with a line on it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pamiq_exp.cli._arguments import command_parser
from pamiq_exp.cli._catalogue import Entry, classes, config_folders, fills, groups
from pamiq_exp.formatting import printable
from pamiq_exp.trust import PART_PACKAGES


def main(words: Sequence[str]) -> int:
    """Print groups, or the options of one. Returns 0, or 2 for a name that is none."""
    arguments = _parser().parse_args(words)
    found = groups(config_folders(arguments.config_dir))
    if arguments.what is None:
        _show(_group_lines(found))
        return 0
    chosen, parts = select(arguments.what, found)
    if not chosen and not parts:
        from pamiq_exp.config.errors import nearest

        known = {*map(plural, found), *PART_PACKAGES}
        message = f"there is nothing called '{arguments.what}'\n    {nearest(arguments.what, known)}"
        print(printable(message), file=sys.stderr)
        return 2
    blocks = [(f"{group}=...", found[group]) for group in chosen] + ([("_target_: ...", parts)] if parts else [])
    _show(line for title, entries in blocks for line in _entry_lines(title, entries))
    return 0


def select(what: str, found: Mapping[str, Sequence[Entry]]) -> tuple[list[str], list[Entry]]:
    """Return the groups and the classes that a word stands for: `worlds` and `world` are the same.

    `models` stands for every group that brings models along, `buffers` and `trainers` likewise.
    """
    chosen = [group for group in found if what in (group, plural(group))]
    if what in ("models", "buffers", "trainers"):
        chosen += [
            group for group, options in found.items()
            if group not in chosen and group not in ("experiment", "agent") and fills(options, what)
        ]  # fmt: skip
    package = next((each for each in PART_PACKAGES if what in (each, each.removesuffix("s"))), None)
    return chosen, classes(package) if package else []


def plural(group: str) -> str:
    """Return what many options of a group are called."""
    if group.endswith(("s", "ing")):
        return group
    return f"{group[:-1]}ies" if group.endswith("cy") else f"{group}s"


def _group_lines(found: Mapping[str, Sequence[Entry]]) -> Iterator[str]:
    width = max(map(len, found))
    yield "python -m pamiq_exp list WHAT, where WHAT is one of these, or models, buffers, trainers:\n"
    for group, options in found.items():
        names = ", ".join(option.name for option in options)
        yield f"  {plural(group):<{width + 2}} {_cut(names, 100)}"


def _entry_lines(title: str, entries: Sequence[Entry]) -> Iterator[str]:
    yield title
    width = max(len(entry.name) for entry in entries)
    yield from (f"  {entry.name:<{width}}  {entry.description}".rstrip() for entry in entries)
    yield ""


def _show(lines: Iterable[str]) -> None:
    """Print lines until the reader closes the pipe: `list | head`."""
    try:
        print("\n".join(map(printable, lines)), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3].rpartition(',')[0]}, ..."


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("list", "List what there is to choose.")
    parser.add_argument("what", nargs="?", metavar="WHAT", help="experiments, worlds, rewards, models, ...")
    parser.add_argument("--config-dir", "-cd", metavar="FOLDER", help="add your own configs")
    return parser
