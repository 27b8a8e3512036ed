"""`python -m pamiq_exp play environment=noise_world world=tvroom`: walk through a world oneself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pamiq_exp.cli._arguments import command_parser, whole_number
from pamiq_exp.component import set_up, tear_down
from pamiq_exp.config import Builder, ConfigError, ErrorDetail, build_environment, compose
from pamiq_exp.jobs.paths import typed_path
from pamiq_exp.jobs.request import Request, find_trusted_packages, print_error, read_request

KEYS = """\
keys: w s forward and back, a d to the sides, arrows turn, space jumps, left shift runs, r is the remote, q leaves
"""
FILM = Path("walk.mp4")
TURNS = 200


def main(words: Sequence[str]) -> int:
    """Let the user walk. Returns 0, or 2 for a world that cannot be walked through."""
    arguments, others = _parser().parse_known_args(words)
    try:
        player = _player(read_request(others))
    except ConfigError as error:
        print_error(error, heading="this world cannot be walked through")
        return 2
    try:
        return _play(player, arguments.turns, arguments.film)
    finally:
        tear_down(player.environment)


def _play(player: Any, turns: int | None, film: Path | None) -> int:
    if film is None:
        try:
            player.in_window(turns)
            return 0
        except RuntimeError as error:
            print(f"{error}: a film of a walk is written instead", file=sys.stderr)
    return _write(player.film(turns or TURNS), film or FILM)


def _write(film: Any, path: Path) -> int:
    from pamiq_exp.tracking.media_files import write_media

    try:
        write_media(film, path.absolute().parent, 0).replace(path)
    except (OSError, ModuleNotFoundError) as error:
        print(f"{path} cannot be written: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


def _player(request: Request) -> Any:
    composed = compose(request.overrides, request.source)
    if not isinstance(composed.tree.get("environment"), dict):
        hint = "environment=noise_world, or an experiment that does"
        raise ConfigError(ErrorDetail("environment", "is not chosen", hint))
    find_trusted_packages(request.allow)
    environment = build_environment(composed, request.allow)
    set_up(environment)
    try:
        play = {"_target_": "pamiq_exp.environments.Play"}
        return Builder(request.allow).build(play, "play", {"environment": environment})
    except BaseException:
        tear_down(environment)
        raise


def _parser() -> argparse.ArgumentParser:
    usage = "environment=NAME [key=value ...] [--film FILE] [--turns N] [--allow PACKAGE]"
    parser = command_parser("play", "Walk through a world with the keys, in a window.", usage=usage, epilog=KEYS)
    add = parser.add_argument
    add("--film", type=typed_path, metavar="FILE",
        help=f"write a film of a walk by script instead; done anyway where there is no display ({FILM})")  # fmt: skip
    add("--turns", type=whole_number(1), metavar="N", help=f"leave after N turns; length of the film ({TURNS})")
    return parser
