"""The process of one job of a sweep: reads its order from standard input, runs it, and ends with its exit status."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pamiq_exp.cli._arguments import find_trusted_packages, tell
from pamiq_exp.cli._isolation import Order, Place
from pamiq_exp.config import AllowList, ConfigError, read_config, register_resolvers


@dataclass(frozen=True)
class _Start:
    """From where a job begins: anew, or from a checkpoint."""

    config: DictConfig
    checkpoint: Path | None = None


def main() -> int:
    """Run the job that standard input describes."""
    faulthandler.enable()
    told = json.loads(sys.stdin.buffer.readline())
    order = Order(**told | {"place": Place(**told["place"])})
    threading.Thread(target=_stop_when_abandoned, args=(sys.stdin.fileno(),), name="abandoned", daemon=True).start()
    sys.orig_argv[:] = order.command
    sys.path.extend(path for path in order.place.path if path not in sys.path)
    register_resolvers()
    allow = AllowList(tuple(order.trusted))
    find_trusted_packages(allow)
    from pamiq_exp.cli._job import Job, run_job

    folder = Path(order.folder)
    try:
        start = _choose_start(folder, order)
    except ConfigError as error:
        tell(error)
        return 2
    return run_job(Job(start.config, folder, order.overrides, allow, order.group, start.checkpoint))


def _choose_start(folder: Path, order: Order) -> _Start:
    """Go on from the newest checkpoint that is whole; without one begin anew, the earlier attempt put aside."""
    from pamiq_exp.runtime.checkpoints import CheckpointError, list_checkpoints, read_checkpoint

    for checkpoint in reversed(list_checkpoints(folder / "checkpoints")):
        try:
            read_checkpoint(checkpoint)
        except CheckpointError as error:
            print(f"{checkpoint.name} cannot be used: {error}", file=sys.stderr)
        else:
            print(f"going on from {checkpoint.name}", file=sys.stderr)
            return _Start(read_config(folder / "config.yaml"), checkpoint)
    if (folder / "manifest.json").exists():
        put_aside(folder)
    config = OmegaConf.create(order.config)
    assert isinstance(config, DictConfig)
    return _Start(config)


def put_aside(folder: Path) -> None:
    """Move what an earlier attempt left into `earlier/N`, so that records of two attempts never mix."""
    earlier = folder / "earlier"
    earlier.mkdir(exist_ok=True)
    target = earlier / str(len(os.listdir(earlier)))
    target.mkdir()
    for path in folder.iterdir():
        if path.name not in ("earlier", "job.lock", "output.txt"):
            path.rename(target / path.name)


def _stop_when_abandoned(descriptor: int) -> None:
    """Save and stop when the process that started this one is gone."""
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
