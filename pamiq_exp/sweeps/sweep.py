"""A sweep, from its command line to its exit status."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config import ConfigError, ErrorDetail
from pamiq_exp.config.hydra_loader import is_hydras, run_many
from pamiq_exp.config.words import sweep_jobs
from pamiq_exp.extras import install_hint
from pamiq_exp.jobs.masking import mask_files_of_hydra
from pamiq_exp.jobs.preflight import preflight
from pamiq_exp.jobs.request import RESUME_FLAG, Request
from pamiq_exp.jobs.signals import STOPS, handling
from pamiq_exp.run_folder import mask_secrets
from pamiq_exp.run_folder.file_names import MANIFEST, SWEEP
from pamiq_exp.streams import output_is_incidental
from pamiq_exp.sweeps.copied_configs import copy_sweep_configs
from pamiq_exp.sweeps.folder import ENDED_WELL, Plan, SweepError, jobs_at_work
from pamiq_exp.sweeps.view import SweepView, Watcher
from pamiq_exp.sweeps.worker import JobSpec
from pamiq_exp.sweeps.worker_process import run_in_worker_process

STOPPED_BY_SIGNAL = 128
"""Exit statuses from here on mean that a signal stopped the sweep."""

_BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
_SEARCH = "hydra_plugins.pamiq_exp_sweeps.search_sweeper.SearchSweeper"
_NEEDED = {
    ("hydra/launcher", "joblib"): "hydra_plugins.hydra_joblib_launcher",
    ("hydra/launcher", "ray"): "ray",
    ("hydra/launcher", "submitit_local"): "hydra_plugins.hydra_submitit_launcher",
    ("hydra/launcher", "submitit_slurm"): "hydra_plugins.hydra_submitit_launcher",
    ("hydra/sweeper", "search"): "optuna",
}
_SAVE_SECONDS = 120.0
_LOOK_SECONDS = 0.2


def run_sweep(request: Request, typed: Sequence[str], resume: bool) -> int:
    """Run a sweep, or what is missing of it, and return its exit status: 0 if every job ended well, else 1.

    Args:
        request: The command line.
        typed: Its words as they were typed: the same words are the same sweep.
        resume: Go on with the newest sweep of the same command, if there is one.

    Raises:
        ConfigError: The sweep cannot be begun as asked.
    """
    output_is_incidental()
    _require_packages(request)
    config = preflight(request)[0].composed.config
    plan = _plan(request, config, tuple(mask_secrets(list(typed))))
    folder = (_find(config, request, plan) if resume else None) or _begin(config, request, plan)
    print(f"sweep {folder}", file=sys.stderr)
    status = 0
    with Watcher(folder) as view, _jobs_save_first(folder) as signals:
        try:
            _run_jobs(copy_sweep_configs(request, folder), folder, plan)
            while jobs_at_work(folder):  # by another process that shares the work
                time.sleep(_LOOK_SECONDS)
        except KeyboardInterrupt:
            status = STOPPED_BY_SIGNAL + signal.SIGINT
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        status = STOPPED_BY_SIGNAL + signals[0] if signals else status  # Ray takes some for errors of its own
    return _tell_end(view, folder, status)


def _run_jobs(request: Request, folder: Path, plan: Plan) -> None:
    """Have Hydra run the jobs of a sweep, in whichever processes its launcher chooses."""
    spec = JobSpec(
        source=request.source,
        trusted=request.allow.trusted,
        dry_run=request.dry_run,
        sweep=str(folder),
        stop=str(_stop_file(folder)),
        command=plan.command,
        place=os.getcwd(),
        path=tuple(sys.path),
    )

    def job(config: DictConfig) -> int:
        # Launchers send this function to other processes and machines: it holds nothing but plain data.
        settings = cast(DictConfig, HydraConfig.get())
        mask_files_of_hydra(settings)
        typed = list(settings.overrides.task)
        words = [*typed, *(word for word in settings.overrides.hydra if "hydra.searchpath=" in word)]
        return run_in_worker_process(replace(spec, words=words, overrides=typed, folder=settings.runtime.output_dir))

    run_many(request.overrides, request.source, job)


def _stop_file(sweep: Path) -> Path:
    """What this process writes once its jobs, wherever they are, have to save and stop."""
    return sweep / f"stop.{socket.gethostname()}.{os.getpid()}"


def _require_packages(request: Request) -> None:
    """Check that the packages of the launcher and sweeper are installed. Raises ConfigError."""
    for word in request.overrides:
        key, _, name = word.partition("=")
        module = _NEEDED.get((key, name))
        if module is not None and not _is_installed(module):
            message = f"{name} needs the package {module}, which is not installed"
            raise ConfigError(ErrorDetail(key, message, install_hint(module)))


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _plan(request: Request, config: DictConfig, words: tuple[str, ...]) -> Plan:
    sweeper, launcher = config.hydra.sweeper, config.hydra.launcher
    if sweeper.get("_target_") == _SEARCH and not sweeper.metric:
        hint = "name a metric of summary.json: hydra.sweeper.metric=return_mean"
        raise ConfigError(ErrorDetail("hydra.sweeper.metric", "is not set: what is searched for?", hint))
    jobs: list[list[str]] = []
    if sweeper.get("_target_") == _BASIC:
        params = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
        jobs = sweep_jobs([*params, *(word for word in request.overrides if not is_hydras(word))], request.source)
    trials = int(sweeper.get("trials") or 0) * max(1, len(sweeper.get("seeds") or ()))
    at_once = int(launcher.get("n_jobs") or 1)
    return Plan(
        words=words,
        command=tuple(mask_secrets(list(sys.orig_argv))),
        experiment_name=str(config.experiment_name),
        jobs=tuple(tuple(mask_secrets(job)) for job in jobs),
        expected=len(jobs) or trials,
        at_once=at_once if at_once > 0 else os.cpu_count() or 1,
        metric=sweeper.get("metric"),
        minimize=sweeper.get("direction") == "minimize",
    )


def _typed_folder(config: DictConfig, request: Request) -> Path | None:
    """The folder that the user named, if any."""
    if not any(word.lstrip("+").startswith("hydra.sweep.dir=") for word in request.overrides):
        return None
    return Path(str(OmegaConf.select(config, "hydra.sweep.dir"))).absolute()


def _place(config: DictConfig, plan: Plan) -> Path:
    """The folder above the sweeps of this name."""
    try:
        return Path(str(config.paths.outputs), "sweeps", plan.experiment_name).absolute()
    except OmegaConfBaseException as error:
        raise ConfigError(ErrorDetail("paths.outputs", str(error).splitlines()[0])) from error


def _begin(config: DictConfig, request: Request, plan: Plan) -> Path:
    """Make the folder of a new sweep; two that begin in the same moment get two folders."""
    folder = _typed_folder(config, request)
    if folder is None:
        while True:
            folder = _place(config, plan) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
            folder.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.mkdir(mode=0o700)
                break
            except FileExistsError:
                continue
    elif not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    hint = f"go on with it ({RESUME_FLAG}), or choose another folder"
    if (folder / MANIFEST).exists():
        raise ConfigError(ErrorDetail("hydra.sweep.dir", f"{folder} holds a single run", "choose another folder"))
    if not plan.write(folder):
        raise ConfigError(ErrorDetail("hydra.sweep.dir", f"{folder} holds a sweep already", hint))
    return folder


def _find(config: DictConfig, request: Request, plan: Plan) -> Path | None:
    """Return the newest sweep of the same words; None if there is none. Raises ConfigError if another one is there."""
    typed = _typed_folder(config, request)
    place = _place(config, plan)
    folders = [typed] if typed is not None else sorted(path.parent for path in place.glob(f"*/{SWEEP}"))
    for folder in reversed(folders):
        try:
            if Plan.read(folder).words == plan.words:
                return folder
        except SweepError as error:
            if typed is not None and (folder / SWEEP).exists():
                raise ConfigError(ErrorDetail(RESUME_FLAG, str(error))) from error
    if typed is not None and (typed / SWEEP).exists():
        hint = "to go on with it the words must be the same as before; or choose another folder"
        raise ConfigError(ErrorDetail(RESUME_FLAG, f"{typed} holds a sweep of other words", hint))
    print(f"there is no sweep of this command in {typed or place} yet: it begins", file=sys.stderr)
    return None


def _tell_end(view: SweepView, folder: Path, status: int) -> int:
    bad = [job for job in view.jobs if job.state not in ENDED_WELL]
    missing = view.total - len(view.jobs)
    for job in bad[:20]:
        if job.reason:
            print(f"job {job.number} {job.state}: {job.reason}", file=sys.stderr)
    print(f"{view.line()}\nresults in {folder}")
    if bad or missing or status:
        print(f"to do what is missing: {shlex.join(view.plan.command)} {RESUME_FLAG}", file=sys.stderr)
    else:
        print(f"python -m pamiq_exp report {folder} -o DIR makes a report of them")
    return status or int(bool(bad or missing))


@contextmanager
def _jobs_save_first(folder: Path) -> Iterator[list[int]]:
    """Let the signals of `STOPS` end this process once its jobs have saved, and the second one at once.

    Launchers kill what still runs as soon as they are interrupted, so they learn of it afterwards. Yields the signals
    that have come.
    """
    signals: list[int] = []
    stop = _stop_file(folder)
    stop.unlink(missing_ok=True)  # of a process of the same name, long ago

    def end(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) == 1:
            stop.touch()
            deadline = time.monotonic() + _SAVE_SECONDS
            while time.monotonic() < deadline and jobs_at_work(folder, begun_by=stop.name):
                time.sleep(_LOOK_SECONDS)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(STOPPED_BY_SIGNAL + number)

    with handling(STOPS, end):
        yield signals
