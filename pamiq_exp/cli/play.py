"""`python -m pamiq_exp play environment=noise_world world=tvroom`: walk through a world oneself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pamiq_exp.component import set_up, tear_down
from pamiq_exp.config import Builder, ConfigError, ErrorDetail, build_environment, compose
from pamiq_exp.jobs.request import Request, find_trusted_packages, print_error, read_request

USAGE = """\
python -m pamiq_exp play environment=NAME [key=value ...]     walk with the keys, in a window

  --film FILE      write a film of a walk by script instead (.mp4); done anyway where there is no display
  --turns N        leave after N turns; length of the film (200)

keys: w s forward and back, a d to the sides, arrows turn, space jumps, left shift runs, r is the remote, q leaves
"""

FILM = Path("walk.mp4")
TURNS = 200


def main(words: Sequence[str]) -> int:
    """Let the user walk. Returns 0, or 2 for a world that cannot be walked through."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if words else 2
    try:
        words, options = _take_options(list(words))
        player = _player(read_request(words))
    except ConfigError as error:
        print_error(error, heading="this world cannot be walked through")
        return 2
    try:
        return _play(player, options)
    finally:
        tear_down(player.environment)


def _play(player: Any, options: dict[str, str]) -> int:
    turns = int(options["--turns"]) if "--turns" in options else None
    if "--film" not in options:
        try:
            player.in_window(turns)
            return 0
        except RuntimeError as error:
            print(f"{error}: a film of a walk is written instead", file=sys.stderr)
    path = Path(options.get("--film", FILM))
    return _write(player.film(turns or TURNS), path)


def _write(film: Any, path: Path) -> int:
    from pamiq_exp.tracking.media_files import write_media

    try:
        write_media(film, path.absolute().parent, 0).replace(path)
    except (OSError, ModuleNotFoundError) as error:
        print(f"{path} cannot be written: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


def _take_options(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take our own flags out of a command line. Raises ConfigError for one without a value."""
    rest, options = [], {}
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        if flag in ("--film", "--turns"):
            options[flag] = value if equals else next(remaining, "")
            if not options[flag] or (flag == "--turns" and not options[flag].isdigit()):
                raise ConfigError(ErrorDetail(flag, "needs a value", "--film walk.mp4, --turns 200"))
        else:
            rest.append(word)
    return rest, options


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
