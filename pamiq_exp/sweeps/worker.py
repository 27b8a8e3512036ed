"""The process of one job of a sweep."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pamiq_exp.config import AllowList, ConfigError, Source, compose, validate
from pamiq_exp.files import open_own
from pamiq_exp.jobs.request import find_trusted_packages, print_error
from pamiq_exp.jobs.signals import STOPS, interruptible, status_of
from pamiq_exp.run_folder import file_names
from pamiq_exp.streams import Streams


@dataclass(frozen=True)
class JobSpec:
    """Everything that the process of a job needs.

    Attributes:
        source: Where its config comes from.
        trusted: Packages that the config may name.
        sweep: The sweep's folder.
        stop: Once this file exists the job is to save and stop; its name is that of the process that has ordered it.
        command: The sweep's command line.
        place, path: Where the user stood, and where modules were found there.
        dry_run: Whether to try the parts on each other first.
        words: What the job is composed from.
        overrides: What was typed for this job.
        folder: The run folder.
    """

    source: Source
    trusted: Sequence[str]
    sweep: str
    stop: str
    command: Sequence[str]
    place: str
    path: Sequence[str]
    dry_run: bool
    words: Sequence[str] = ()
    overrides: Sequence[str] = ()
    folder: str = ""


def work(job: JobSpec, environment: Mapping[str, str], lock: object) -> None:
    """Run the job and end the process with its exit status.

    Args:
        job: What to do.
        environment: That of the process that gave the job.
        lock: Keeps the job's lock held as long as this process lives.
    """
    try:
        with interruptible():
            _move_in(job, environment)
            threading.Thread(target=_stop_when_abandoned, name="abandoned", daemon=True).start()
            status = _run(job)
    except KeyboardInterrupt as error:
        status = status_of(error)
    sys.exit(status)


def _move_in(job: JobSpec, environment: Mapping[str, str]) -> None:
    """Leave the place of the process that this one was forked from."""
    os.setsid()  # Ctrl-C reaches the process that gave the order, which hands it on once
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # see `preload`
    os.environ.clear()
    os.environ.update(environment)
    if os.path.isdir(job.place):
        os.chdir(job.place)
    output = open_own(Path(job.folder) / file_names.OUTPUT)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())
    os.close(output)
    Streams()
    faulthandler.enable()
    sys.orig_argv[:] = job.command
    sys.path.extend(path for path in job.path if path not in sys.path)


def _run(job: JobSpec) -> int:
    allow = AllowList(tuple(job.trusted))
    find_trusted_packages(allow)
    from pamiq_exp.jobs.job import Job, run_job
    from pamiq_exp.run_folder import RunFolder

    folder = Path(job.folder)
    try:
        validated = validate(compose(job.words, job.source), allow, dry_run=job.dry_run)
    except ConfigError as error:
        print_error(error)
        RunFolder(folder).finish("failed", str(error))
        return 2
    return run_job(Job(validated, folder, job.overrides, Path(job.sweep).name, go_on=True))


def _stop_when_abandoned() -> None:
    """Save and stop when the process that gave the order is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
