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
class WorkingDirectory:
    """Where the user stands: the current folder, and where modules are found."""

    folder: str
    path: Sequence[str]


@dataclass(frozen=True)
class JobSpec:
    """Everything that the process of a job needs.

    Attributes:
        words: What the job is composed from.
        source: Where its config comes from.
        folder: The run folder.
        overrides: What was typed for this job.
        trusted: Packages that the config may name.
        sweep: The sweep's folder.
        stop: Once this file exists the job is to save and stop; its name is that of the process that has ordered it.
        command: The sweep's command line.
        place: Where the sweep was begun.
        dry_run: Whether to try the parts on each other first.
    """

    words: Sequence[str]
    source: Source
    folder: str
    overrides: Sequence[str]
    trusted: Sequence[str]
    sweep: str
    stop: str
    command: Sequence[str]
    place: WorkingDirectory
    dry_run: bool = True


def work(order: JobSpec, environment: Mapping[str, str], lock: object) -> None:
    """Run the job and end the process with its exit status.

    Args:
        order: What to do.
        environment: That of the process that gave the order.
        lock: Keeps the job's lock held as long as this process lives.
    """
    try:
        with interruptible():
            _move_in(order, environment)
            threading.Thread(target=_stop_when_abandoned, name="abandoned", daemon=True).start()
            status = _run(order)
    except KeyboardInterrupt as error:
        status = status_of(error)
    sys.exit(status)


def _move_in(order: JobSpec, environment: Mapping[str, str]) -> None:
    """Leave the place of the process that this one was forked from."""
    os.setsid()  # Ctrl-C reaches the process that gave the order, which hands it on once
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)  # see `preload`
    os.environ.clear()
    os.environ.update(environment)
    if os.path.isdir(order.place.folder):
        os.chdir(order.place.folder)
    output = open_own(Path(order.folder) / file_names.OUTPUT)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())
    os.close(output)
    Streams()
    faulthandler.enable()
    sys.orig_argv[:] = order.command
    sys.path.extend(path for path in order.place.path if path not in sys.path)


def _run(order: JobSpec) -> int:
    allow = AllowList(tuple(order.trusted))
    find_trusted_packages(allow)
    from pamiq_exp.jobs.job import Job, run_job
    from pamiq_exp.run_folder import RunFolder

    folder = Path(order.folder)
    try:
        validated = validate(compose(order.words, order.source), allow, dry_run=order.dry_run)
    except ConfigError as error:
        print_error(error)
        RunFolder(folder).finish("failed", str(error))
        return 2
    return run_job(Job(validated, folder, order.overrides, Path(order.sweep).name, go_on=True))


def _stop_when_abandoned() -> None:
    """Save and stop when the process that gave the order is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
