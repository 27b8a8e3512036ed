"""`python -m pamiq_exp experiment=NAME [key=value ...]`: run it, or with `-m` a sweep of runs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pamiq_exp.cli._arguments import Request, read_request, tell
from pamiq_exp.cli._masking import close_to_others, mask_files_of_hydra
from pamiq_exp.cli._preflight import compose_safely, preflight
from pamiq_exp.config import ConfigError, config_folder, record_composition, register_resolvers
from pamiq_exp.config.compose import CONFIG_NAME, VERSION_BASE

RESUME_FLAG = "--resume"
RUN_DIR = "hydra.run.dir"


def main(words: Sequence[str]) -> int:
    """Check the request and hand it to Hydra. Returns the exit status; of a sweep 0 only if every job ended well."""
    resume = RESUME_FLAG in words
    try:
        typed = [word for word in words if word != RESUME_FLAG]
        request = read_request(typed)
        if request.flags.multirun and not _is_look(request):
            from pamiq_exp.cli._sweep_run import run_sweep

            return run_sweep(request, typed, resume, _hand_to_hydra)
        folder = named_folder(request)
        if resume and not _is_look(request):
            from pamiq_exp.cli._requeue import go_on

            if (status := go_on(folder, request)) is not None:
                return status
        _check(request)
    except ConfigError as error:
        tell(error)
        return 2
    return _hand_to_hydra(request, resume, folder is None or not folder.exists())


def named_folder(request: Request) -> Path | None:
    """Return the run folder that was typed; None for one that is named after the time. Raises ConfigError."""
    if request.flags.multirun or not any(word.lstrip("+").startswith(f"{RUN_DIR}=") for word in request.overrides):
        return None
    config = compose_safely(request.overrides, request.source)
    return Path(str(OmegaConf.select(config, RUN_DIR))).absolute()


def _is_look(request: Request) -> bool:
    """Whether the user only wants to look at something."""
    flags = request.flags
    return bool(flags.help or flags.hydra_help or flags.shell_completion or flags.cfg or flags.info)


def _check(request: Request) -> None:
    flags = request.flags
    only_shipped = not (request.overrides or flags.config_dir or flags.config_path or flags.config_name)
    if flags.hydra_help or flags.shell_completion or (flags.help and only_shipped):
        return
    if _is_look(request):
        compose_safely(request.overrides, request.source)
    else:
        preflight(request)


def _hand_to_hydra(request: Request, resume: bool = False, makes_folder: bool = True) -> int:
    """Let Hydra do what it does: help, printing of configs, completion, one run or many.

    Args:
        request: The command line.
        resume: Whether a single run goes on with what its folder holds.
        makes_folder: Whether the folder of a single run is not there yet.
    """
    register_resolvers()
    statuses: list[int] = []
    place = Path.cwd(), list(sys.path)
    process = process_name()

    def job(config: DictConfig) -> int:
        # Launchers send this function to other processes and machines: it holds nothing but plain data.
        settings = cast(DictConfig, HydraConfig.get())
        mask_files_of_hydra(settings)
        if settings.mode == RunMode.MULTIRUN:
            from pamiq_exp.cli._sweep_run import run_job_of_sweep

            return run_job_of_sweep(config, settings, request.allow.trusted, place, process)
        statuses.append(_run(config, request, resume, makes_folder))
        return statuses[-1]

    sys.argv = ["pamiq_exp", *request.arguments]
    try:
        decorate = hydra.main(version_base=VERSION_BASE, config_path=str(config_folder()), config_name=CONFIG_NAME)
        decorate(job)()
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None)
    return max(statuses, default=0)


def process_name() -> str:
    """Return what tells this process from all others, on this machine and elsewhere."""
    return f"{socket.gethostname()}.{os.getpid()}"


def _run(config: DictConfig, request: Request, resume: bool, makes_folder: bool) -> int:
    from pamiq_exp.cli._job import Job, run_job

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    if makes_folder:  # Hydra has made it, open to all
        close_to_others(folder)
    overrides = list(settings.overrides.task)
    composition = record_composition([*overrides, *settings.overrides.hydra], request.source)
    return run_job(Job(config, folder, overrides, request.allow, go_on=resume, composition=composition))
