"""`python -m pamiq_exp resume RUN [key=value ...]`: go on with a run from its newest good checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from pamiq_exp.cli._arguments import read_request, tell
from pamiq_exp.cli._preflight import refuse
from pamiq_exp.config import ConfigError, Problem, override_values, read_config

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
    config = read_config(folder / "config.yaml")
    override_values(config, request.overrides)
    refuse([config], request.allow)
    checkpoint = _newest_good_checkpoint(folder)
    print(f"resuming {folder} from {checkpoint.name}", file=sys.stderr)
    from pamiq_exp.cli._job import Job, run_job

    overrides = [*_overrides_before(folder), *request.overrides]
    group = folder.parent.name if folder.parent.parent.parent.name == "sweeps" else None
    return run_job(Job(config, folder, overrides, request.allow, group, checkpoint))


def _newest_good_checkpoint(folder: Path) -> Path:
    from pamiq_exp.runtime.checkpoints import CheckpointError, list_checkpoints, read_checkpoint

    for checkpoint in reversed(list_checkpoints(folder / "checkpoints")):
        try:
            read_checkpoint(checkpoint)
        except CheckpointError as error:
            print(f"{checkpoint.name} is damaged, trying the one before it: {error}", file=sys.stderr)
        else:
            return checkpoint
    remedy = "start the experiment anew; with launcher.checkpoint.every_seconds=60 it saves on the way"
    raise ConfigError(Problem("", f"there is no good checkpoint in {folder / 'checkpoints'}", remedy))


def _overrides_before(folder: Path) -> list[str]:
    path = folder / "overrides.yaml"
    return [str(word) for word in OmegaConf.load(path)] if path.exists() else []
