"""`python -m pamiq_exp resume RUN [key=value ...]`: go on with a run from its newest checkpoint.

Two keys belong to this command alone: `resume.checkpoint=step_000012000` goes on from an earlier checkpoint, and
`resume.partial=true` lets parts that the checkpoint does not hold start anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf

from pamiq_exp.cli._arguments import read_request, tell
from pamiq_exp.cli._preflight import refuse
from pamiq_exp.config import ConfigError, Problem, override_values, read_config
from pamiq_exp.config.problems import nearest

USAGE = "python -m pamiq_exp resume RUN [key=value ...]"


def main(words: Sequence[str]) -> int:
    """Resume the run in the folder RUN with its own config. Returns the exit status."""
    if not words or words[0].startswith("-") or not Path(words[0]).is_dir():
        named = f"{words[0]} is no run folder" if words else "which run?"
        print(f"{named}\n    {USAGE}, where RUN is a folder such as outputs/NAME/DATE", file=sys.stderr)
        return 2
    try:
        return _resume(Path(words[0]), words[1:])
    except ConfigError as error:
        tell(error, heading="this run cannot be resumed")
        return 2


def _resume(folder: Path, words: Sequence[str]) -> int:
    request = read_request(words)
    options, changes = _take_options(request.overrides)
    config = read_config(folder / "config.yaml")
    override_values(config, changes)
    refuse([config], request.allow)
    checkpoint = _choose_checkpoint(folder, options.checkpoint)
    print(f"resuming {folder} from {checkpoint.name}", file=sys.stderr)
    from pamiq_exp.cli._job import Job, run_job

    overrides = [*_overrides_before(folder), *changes]
    group = folder.parent.name if folder.parent.parent.parent.name == "sweeps" else None
    return run_job(Job(config, folder, overrides, request.allow, group, checkpoint, options.partial))


@dataclass(frozen=True)
class _Options:
    checkpoint: str | None = None
    partial: bool = False


def _take_options(words: Sequence[str]) -> tuple[_Options, list[str]]:
    """Take `resume.checkpoint` and `resume.partial` out of the overrides."""
    options, rest = _Options(), []
    for word in words:
        key, _, value = word.partition("=")
        if key == "resume.checkpoint":
            options = replace(options, checkpoint=value)
        elif key == "resume.partial" and value in ("true", "false"):
            options = replace(options, partial=value == "true")
        elif key.startswith("resume."):
            remedy = "use resume.checkpoint=step_000012000 or resume.partial=true"
            raise ConfigError(Problem(key, f"{word} is not to be had", remedy))
        else:
            rest.append(word)
    return options, rest


def _choose_checkpoint(folder: Path, name: str | None) -> Path:
    """Return the newest checkpoint or the one of that name, if it is whole.

    An earlier one is never taken unasked: the run would silently lose what lies between.
    """
    from pamiq_exp.runtime.checkpoints import CheckpointError, list_checkpoints, read_checkpoint

    checkpoints = list_checkpoints(folder / "checkpoints")
    if not checkpoints:
        remedy = "start the experiment anew; with launcher.checkpoint.every_seconds=60 it saves on the way"
        raise ConfigError(Problem("", f"there is no checkpoint in {folder / 'checkpoints'}", remedy))
    names = [checkpoint.name for checkpoint in checkpoints]
    if name is not None and name not in names:
        raise ConfigError(
            Problem("resume.checkpoint", f"there is no {name}", nearest(name, names, listing="checkpoints"))
        )
    index = len(names) - 1 if name is None else names.index(name)
    try:
        read_checkpoint(checkpoints[index])
    except CheckpointError as error:
        earlier = names[:index]
        remedy = f"to go on from the one before it, add resume.checkpoint={earlier[-1]}" if earlier else "start anew"
        raise ConfigError(Problem("", str(error), remedy)) from error
    return checkpoints[index]


def _overrides_before(folder: Path) -> list[str]:
    path = folder / "overrides.yaml"
    return [str(word) for word in OmegaConf.load(path)] if path.exists() else []
