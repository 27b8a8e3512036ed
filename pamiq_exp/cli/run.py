"""`python -m pamiq_exp experiment=NAME [key=value ...]`: run it, or with `-m` a sweep of runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pamiq_exp.cli._arguments import Request, read_request, tell
from pamiq_exp.cli._preflight import compose_safely, preflight
from pamiq_exp.config import ConfigError, config_folder, register_resolvers
from pamiq_exp.config.compose import CONFIG_NAME, VERSION_BASE

STOPPED_BY_SIGNAL = 128
"""Exit statuses from here on mean that somebody stopped the program: the rest of a sweep is not run."""


def main(words: Sequence[str]) -> int:
    """Check the request and hand it to Hydra. Returns the exit status, the worst one of a sweep."""
    try:
        request = read_request(words)
        _check(request)
    except ConfigError as error:
        tell(error)
        return 2
    return _hand_to_hydra(request)


def _check(request: Request) -> None:
    flags = request.flags
    only_shipped = not (request.overrides or flags.config_dir or flags.config_path or flags.config_name)
    if flags.hydra_help or flags.shell_completion or (flags.help and only_shipped):
        return
    if flags.help or flags.cfg or flags.info:
        compose_safely(request.overrides, request.source)
    else:
        preflight(request)


def _hand_to_hydra(request: Request) -> int:
    """Let Hydra do what it does: help, printing of configs, completion, one run or many."""
    register_resolvers()
    statuses: list[int] = []

    def job(config: DictConfig) -> None:
        if max(statuses, default=0) < STOPPED_BY_SIGNAL:
            statuses.append(_run(config, request))

    sys.argv = ["pamiq_exp", *request.arguments]
    try:
        decorate = hydra.main(version_base=VERSION_BASE, config_path=str(config_folder()), config_name=CONFIG_NAME)
        decorate(job)()
    except SystemExit as exit_request:
        return exit_request.code if isinstance(exit_request.code, int) else int(exit_request.code is not None)
    return max(statuses, default=0)


def _run(config: DictConfig, request: Request) -> int:
    from pamiq_exp.cli._job import Job, run_job

    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    overrides = list(settings.overrides.task)
    group = None
    if settings.mode == RunMode.MULTIRUN:
        group = Path(settings.sweep.dir).name
        print(f"\njob {settings.job.num} of the sweep {settings.sweep.dir}: {' '.join(overrides)}", file=sys.stderr)
    return run_job(Job(config, folder, overrides, request.allow, group))
