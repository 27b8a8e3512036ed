"""Everything that can be found wrong before a run folder exists."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.cli._arguments import Request, find_trusted_packages
from pamiq_exp.config import (
    AllowList,
    ConfigError,
    Problem,
    Source,
    check_hydra,
    check_names,
    check_parts,
    compose_config,
    config_folder,
    variants,
)


def preflight(request: Request) -> None:
    """Check every config that this command line asks for, and that there is a place for its results.

    Mistakes that show in names alone are told before torch is imported.

    Raises:
        ConfigError: With all problems of the first config that has any.
    """
    lists = variants(request.overrides, request.source) if request.flags.multirun else [request.overrides]
    configs = [compose_safely(overrides, request.source) for overrides in lists]
    for config in configs:
        _require_choice(config, request)
    refuse(configs, request.allow)
    key = "hydra.sweep.dir" if request.flags.multirun else "hydra.run.dir"
    problem = folder_problem(configs[0], key)
    if problem is not None:
        raise ConfigError(problem)


def compose_safely(overrides: Sequence[str], source: Source) -> DictConfig:
    """Compose a config, and refuse it if a file in it would have Hydra run something. Raises ConfigError."""
    config = compose_config(overrides, source)
    problems = check_hydra(config, overrides, source)
    if problems:
        raise ConfigError(problems)
    return config


def refuse(configs: Sequence[DictConfig], allow: AllowList) -> None:
    """Raise ConfigError with all problems of the first config that has any; those of names come first."""
    for check in (check_names, check_parts):
        for config in configs:
            problems = check(config, allow)
            if problems:
                raise ConfigError(problems)
        find_trusted_packages(allow)


def _require_choice(config: DictConfig, request: Request) -> None:
    """Refuse a command line that says nothing yet, with the experiments there are."""
    if OmegaConf.select(config, "hydra.runtime.choices.experiment") is not None or "environment" in config:
        return
    folders = [config_folder(), *([Path(request.source.folder)] if request.source.folder else [])]
    names = sorted(path.stem for folder in folders for path in (folder / "experiment").glob("*.yaml"))
    raise ConfigError(Problem("experiment", "nothing is chosen yet", f"experiment=NAME, one of: {', '.join(names)}"))


def folder_problem(config: DictConfig, key: str) -> Problem | None:
    """Return why the folder above the run folder, which `key` names, cannot be written, if it cannot."""
    try:
        folder = Path(str(OmegaConf.select(config, key))).parent
    except OmegaConfBaseException as error:
        return Problem(key, str(error).splitlines()[0])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror or error}"
        return Problem("paths.outputs", message, "choose another folder: paths.outputs=FOLDER")
