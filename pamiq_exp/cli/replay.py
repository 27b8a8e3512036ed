"""`python -m pamiq_exp replay RUN`: replay a run in real time to the same bits, from its trace."""

from __future__ import annotations

import argparse
import os
import pdb
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pamiq_exp.cli._arguments import command_parser, existing_run, whole_number
from pamiq_exp.config import ConfigError, words_of
from pamiq_exp.formatting import printable
from pamiq_exp.jobs.replay import open_replay
from pamiq_exp.jobs.request import print_error, print_message, read_request

if TYPE_CHECKING:
    from pamiq_exp.runtime.trace.replay import Replay, Replayed

DIFFERS = 1
"""Exit status of `--check` for a replay that came to other bits."""


def main(words: Sequence[str]) -> int:
    """Replay a run. Returns 0; 1 if `--check` finds a difference; 2 for a run that cannot be replayed."""
    arguments, others = _parser().parse_known_args(words)
    from pamiq_exp.runtime import CheckpointError
    from pamiq_exp.runtime.trace.blocks import TraceError

    try:
        request = read_request(others)
        if request.overrides:
            print(f"a replay changes nothing: leave out {' '.join(request.overrides)}", file=sys.stderr)
            return 2
        with open_replay(arguments.run, arguments.until, request) as replay:
            return _replay(replay, arguments)
    except (ConfigError, CheckpointError, TraceError) as error:
        print_error(error, heading="this run cannot be replayed")
        return 2


def _replay(replay: Replay, arguments: argparse.Namespace) -> int:
    from pamiq_exp.runtime.trace.blocks import TraceError

    try:
        result = replay.run(arguments.until, stop_at_difference=arguments.check or arguments.debug)
    except (TraceError, KeyboardInterrupt):
        raise
    except Exception as error:
        kind = type(error).__name__
        print_message(f"turn {replay.next_turn} raised what it did not raise in the run: {kind}: {words_of(error)}")
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exception(error)
        if arguments.debug:
            pdb.post_mortem(error.__traceback__)
        return DIFFERS
    print("\n".join(map(printable, _lines(replay, result))))
    if arguments.debug:
        _debug(replay, result)
    return DIFFERS if result.difference is not None and arguments.check else 0


def _lines(replay: Replay, result: Replayed) -> list[str]:
    done = f"{result.turns} turns, {result.rounds} rounds and {result.publications} publications were taken again"
    lines = [f"{done}, up to turn {replay.next_turn}"]
    if result.difference is not None:
        lines.append(f"turn {result.difference.turn} is the first that differs: {result.difference.what}")
    else:
        lines.append("all bits are the same: actions, records, parameters")
    if result.failure is not None:
        lines.append(f"then it fails, as the run did: {type(result.failure).__name__}: {result.failure}")
    elif not result.ended:
        lines.append("the end of the run was not reached: --until, or the trace ends before it")
    return lines


def _debug(replay: Replay, result: Replayed) -> None:
    """Open a debugger in which `engine`, `interaction`, `models`, `buffers` and `trainers` are the live objects."""
    engine = replay.engine
    names = {"engine": engine, "interaction": engine.interaction, "models": engine.models, "buffers": engine.users}
    names |= {"trainers": engine.trainers, "replay": replay, "result": result}
    if result.failure is not None:
        pdb.post_mortem(result.failure.__traceback__)
        return
    print(f"before turn {replay.next_turn}: {', '.join(names)} are the live objects; replay.run(TURN) goes on, q ends")
    pdb.run("pass", names, names)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "replay",
        "Replay a run that kept a trace (launcher.trace=true): the same parts on one thread, with the "
        "recorded observations and schedule. Nothing is written.",
        usage="RUN [--until TURN] [--check] [--debug] [--allow PACKAGE]",
    )
    add = parser.add_argument
    add("run", type=existing_run, metavar="RUN", help="a run folder, such as outputs/NAME/DATE")
    add("--until", type=whole_number(0), metavar="TURN", help="stop before this turn, counted from 0")
    add("--check", action="store_true", help="stop at the first difference, and exit with 1 then")
    add("--debug", action="store_true", help="open a debugger with the live objects where the replay stops")
    return parser
