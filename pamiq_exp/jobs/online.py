"""Whether W&B may send the records of a config of another person."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pamiq_exp.config import Composed, ConfigError, ErrorDetail
from pamiq_exp.config.tree_paths import target_nodes
from pamiq_exp.jobs.request import ONLINE_FLAG, print_message

VARIABLE = "WANDB_MODE"
WANDB = "WandbTracker"


def keep_offline(configs: Sequence[Composed], online: bool) -> None:
    """Keep W&B offline in this process and its jobs if a config holds anything that is not known to be the user's own.

    The user lifts that with `--online`, or by saying in the shell what W&B is to do (`WANDB_MODE`).

    Raises:
        ConfigError: `WANDB_MODE` is no word of W&B's, or its key or address is malformed: it would not be clear what
            the user wants.
    """
    from pamiq_exp.tracking.wandb_tracker import WandbSettingsError, mode_of_shell

    try:
        wanted = mode_of_shell()
        would_send = wanted in (None, "online") and any(_would_send(config) for config in configs)
    except WandbSettingsError as error:
        raise ConfigError(ErrorDetail("tracking.wandb", str(error), "correct or remove this setting of W&B")) from error
    except ValueError as error:
        raise ConfigError(ErrorDetail(VARIABLE, str(error))) from error
    if online or wanted is not None:
        return
    strangers = [config.stranger for config in configs if config.stranger is not None]
    if not strangers:
        return
    os.environ[VARIABLE] = "offline"
    if would_send:
        name = Path(strangers[0])
        shown = Path(*name.parts[-2:]) if name.is_absolute() else name
        print_message(
            f"W&B stays offline: {shown} did not come with pamiq_exp\n"
            f"    {ONLINE_FLAG} lets W&B do what it is set up for, for this command; {VARIABLE}=online for a shell"
        )


def _would_send(config: Composed) -> bool:
    """Whether a tracker goes by the user's settings for W&B, and those say online."""
    nodes = [node for _, node in target_nodes(config.resolved.tree) if str(node["_target_"]).endswith(WANDB)]
    if not any(node.get("mode", "auto") == "auto" for node in nodes):
        return False
    from pamiq_exp.tracking.wandb_tracker import logged_in

    return logged_in()
