"""`python -m pamiq_exp experiment=NAME [key=value ...]`: run it, or with `-m` a sweep of runs."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import cast

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config import ConfigError, Validated, compose, compose_config, config_folder
from pamiq_exp.config.hydra_loader import CONFIG_NAME, VERSION_BASE, prepare, run_once
from pamiq_exp.jobs.masking import close_to_others, mask_files_of_hydra
from pamiq_exp.jobs.preflight import preflight
from pamiq_exp.jobs.request import RESUME_FLAG, Request, print_error, read_request
from pamiq_exp.sweeps.sweep_file import expand

RUN_DIR = "hydra.run.dir"


def main(words: Sequence[str]) -> int:
    """Validate what is asked for and run it. Returns the exit status; of a sweep 0 only if every job ended well."""
    resume = RESUME_FLAG in words
    try:
        typed = [word for word in words if word != RESUME_FLAG]
        request = expand(read_request(typed))
        if request.flags.multirun and not _is_look(request):
            from pamiq_exp.sweeps.sweep import run_sweep

            return run_sweep(request, typed, resume)
        if _is_look(request):
            return _look(request)
        names_folder = any(word.lstrip("+").startswith(f"{RUN_DIR}=") for word in request.overrides)
        if resume:
            from pamiq_exp.jobs.resume import go_on

            named = _run_folder(compose_config(request.overrides, request.source)) if names_folder else None
            if (status := go_on(named, request)) is not None:
                return status
        [validated] = preflight(request)
    except ConfigError as error:
        print_error(error)
        return 2
    makes_folder = not names_folder or not _run_folder(validated.composed.config).exists()
    return _run(validated, resume, makes_folder)


def _run_folder(config: DictConfig) -> Path:
    return Path(str(OmegaConf.select(config, RUN_DIR))).absolute()


def _is_look(request: Request) -> bool:
    """Whether the user only wants to look at something."""
    flags = request.flags
    return bool(flags.help or flags.hydra_help or flags.shell_completion or flags.cfg or flags.info)


def _look(request: Request) -> int:
    """Let Hydra show what it shows: help, configs, completion; without secrets."""
    from pamiq_exp.run_folder import mask_text

    flags = request.flags
    only_shipped = not (request.overrides or flags.config_dir or flags.config_path or flags.config_name)
    if not (flags.hydra_help or flags.shell_completion or (flags.help and only_shipped)):
        compose(request.overrides, request.source)  # may not set up Hydra
    prepare()
    sys.argv = ["pamiq_exp", *request.arguments]
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            hydra.main(version_base=VERSION_BASE, config_path=str(config_folder()), config_name=CONFIG_NAME)(_nothing)()
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None)
    finally:
        print(mask_text(shown.getvalue()), end="")
    return 0


def _nothing(config: DictConfig) -> None:
    """Do nothing: Hydra only prints."""


def _run(validated: Validated, resume: bool, makes_folder: bool) -> int:
    """Run what was validated: it is not composed again.

    Args:
        validated: What is run.
        resume: Whether the run goes on with what its folder holds.
        makes_folder: Whether that folder is not there yet.
    """
    from pamiq_exp.jobs.job import Job, run_job

    def task(_: DictConfig) -> int:
        settings = HydraConfig.get()
        mask_files_of_hydra(cast(DictConfig, settings))
        folder = Path(settings.runtime.output_dir)
        if makes_folder:  # Hydra has made it, open to all
            close_to_others(folder)
        return run_job(Job(validated, folder, list(settings.overrides.task), go_on=resume))

    return cast(int, run_once(validated.composed.config, validated.composed.source, task))
