"""Whether W&B may send what a config of somebody else's records."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from pamiq_exp.cli._arguments import ONLINE_FLAG, say
from pamiq_exp.config import ConfigError, Problem, foreign_files, plain_tree

VARIABLE = "WANDB_MODE"
WANDB = "pamiq_exp.tracking.WandbTracker"


def keep_offline(configs: Sequence[DictConfig], online: bool) -> None:
    """Keep W&B offline in this process and its jobs if a config did not come with the package.

    The user lifts that with `--online`, or by saying in the shell what W&B is to do (`WANDB_MODE`).

    Args:
        configs: Composed, or as an exported file holds them, which is always somebody else's.
        online: Whether `--online` was typed.

    Raises:
        ConfigError: `WANDB_MODE` is no word of W&B's: it would not be clear what the user wants.
    """
    from pamiq_exp.tracking.wandb_tracker import mode_of_shell

    try:
        wanted = mode_of_shell()
    except ValueError as error:
        raise ConfigError(Problem(VARIABLE, str(error))) from error
    if online or wanted is not None:
        return
    foreign = [name for config in configs if (name := _foreign(config)) is not None]
    if not foreign:
        return
    os.environ[VARIABLE] = "offline"
    if any(_would_send(config) for config in configs):
        say(
            f"W&B stays offline: {foreign[0]} did not come with pamiq_exp\n"
            f"    {ONLINE_FLAG} lets W&B do what it is set up for, for this command; {VARIABLE}=online for a shell"
        )


def _foreign(config: DictConfig) -> str | None:
    """Name a file of somebody else's that a config consists of; None if there is none."""
    if "hydra" not in config:
        return "its config"
    files = foreign_files(config)
    return _shown(files[-1]) if files else None


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else Path(*path.parts[-2:]))


def _would_send(config: DictConfig) -> bool:
    """Whether a tracker goes by the user's settings for W&B, and those say online."""
    trackers = plain_tree(config).get("tracking") or {}
    nodes = [node for node in trackers.values() if isinstance(node, Mapping) and node.get("_target_") == WANDB]
    if not any(node.get("mode", "auto") == "auto" for node in nodes):
        return False
    from pamiq_exp.tracking.wandb_tracker import logged_in

    return logged_in()
