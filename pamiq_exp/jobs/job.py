"""One run, from its composed config to its exit status."""

from __future__ import annotations

import logging
import os
import signal
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pamiq_exp.baselines import coverage_sentence
from pamiq_exp.config import (
    ConfigError,
    ErrorDetail,
    Experiment,
    Validated,
    derived_seeds,
    plain_file,
    record_composition,
    words_of,
)
from pamiq_exp.jobs.next_steps import next_steps
from pamiq_exp.jobs.placement import Launch, placed
from pamiq_exp.jobs.request import print_error, print_message
from pamiq_exp.jobs.signals import Interrupted, status_of
from pamiq_exp.run_folder import file_names
from pamiq_exp.streams import output_is_incidental

if TYPE_CHECKING:
    from pamiq_exp.run_folder import RunFolder

logger = logging.getLogger(__name__)

_MOST_WORDS = 4000


@dataclass(frozen=True)
class Job:
    """What one run is.

    Attributes:
        validated: What was validated, and is built.
        folder: Its run folder.
        overrides: What the user typed.
        group: The sweep it belongs to.
        resume_from: A checkpoint to go on from.
        resume_partial: Whether parts that it does not hold may start anew.
        go_on: Whether the run goes on from its newest whole checkpoint if there is one, and else begins.
        details: More that belongs in the manifest.
    """

    validated: Validated
    folder: Path
    overrides: Sequence[str]
    group: str | None = None
    resume_from: Path | None = None
    resume_partial: bool = False
    go_on: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


def run_job(job: Job) -> int:
    """Build and launch an experiment, print errors, and return the exit status."""
    from pamiq_exp.run_folder import RunFolder, RunFolderError

    output_is_incidental()
    try:
        folder = RunFolder(job.folder)
        with folder.owned():
            if job.go_on:
                job = replace(job, resume_from=_choose_start(folder))
            elif job.resume_from is None:
                folder.require_unused()
            return _run_in(folder, job)
    except RunFolderError as error:
        print_message(str(error))
        return 2


def _run_in(folder: RunFolder, job: Job) -> int:
    """Run a job in the folder that is its own now."""
    from pamiq_exp.runtime.checkpoints import CheckpointError

    resumed = job.resume_from is not None
    try:
        with folder.restored_on(ConfigError, CheckpointError) if resumed else nullcontext():
            return _launch(job, folder)
    except (ConfigError, CheckpointError) as error:
        _keep_traceback(folder, error)
        if not resumed:
            _mark_ended(folder, "failed", words_of(error))
        print_error(error, heading="this run cannot be resumed" if resumed else "this config cannot be run")
        return 2
    except KeyboardInterrupt as error:
        reason = str(error) if isinstance(error, Interrupted) else "SIGINT"
        _mark_ended(folder, "stopped", reason)
        print_message(f"\n{reason}: ended at once; nothing was saved")
        return status_of(error)
    except (Exception, SystemExit) as error:
        _keep_traceback(folder, error)
        _mark_ended(folder, "failed", words_of(error) or type(error).__name__)
        _tell_crash(error, folder.path)
        return 1


def _choose_start(folder: RunFolder) -> Path | None:
    """Return the newest checkpoint that is whole; without one, put aside what an earlier attempt left."""
    checkpoint = newest_whole(folder.path)
    if checkpoint is None and (folder.path / file_names.MANIFEST).exists():
        earlier = folder.move_to_earlier()
        print_message(
            f"there is no checkpoint to resume from: the run starts from the beginning, the old files are in {earlier}"
        )
    return checkpoint


def newest_whole(folder: Path) -> Path | None:
    """Return the newest checkpoint of a run that can be read, and print its name."""
    from pamiq_exp.run_folder import list_checkpoints
    from pamiq_exp.runtime.checkpoints import CheckpointError, read_checkpoint

    for checkpoint in reversed(list_checkpoints(folder / file_names.CHECKPOINTS)):
        try:
            read_checkpoint(checkpoint)
        except CheckpointError as error:
            print_message(f"{checkpoint.name} cannot be used: {error}")
        else:
            print_message(f"going on from {checkpoint.name}")
            return checkpoint
    return None


def _launch(job: Job, folder: RunFolder) -> int:
    before = plain_file(folder.path / file_names.CONFIG).get("spaces") if job.resume_from is not None else None
    composed = job.validated.composed
    folder.write_config(composed.tree, job.overrides)  # what is left of a run whose parts cannot even be built
    folder.write_composition(record_composition(composed).to_plain())
    if chosen := composed.chosen:
        print_message(f"chosen: {chosen}")
    with ExitStack() as stack:
        with folder.logging():
            experiment, launch = stack.enter_context(placed(job.validated))
        return _launch_placed(job, folder, experiment, launch, before)


def _launch_placed(job: Job, folder: RunFolder, experiment: Experiment, launch: Launch, before: object) -> int:
    from pamiq_exp.jobs.console_socket import serve
    from pamiq_exp.run_folder import mask_secrets
    from pamiq_exp.runtime.evaluation import can_be_evaluated
    from pamiq_exp.tracking import RunInfo

    require_same_spaces(before, experiment)
    folder.write_config(experiment.config, job.overrides)
    folder.start(
        experiment_name=experiment.name,
        seed=experiment.seed,
        config=experiment.config,
        threads=asdict(experiment.launch_config.threads),
        details={
            "overrides": list(job.overrides),
            "allowed": list(job.validated.allow.trusted),
            "derived_seeds": derived_seeds(experiment.config),
            **job.details,
        },
        resumed_from=job.resume_from,
    )
    info = RunInfo(
        folder=folder.path,
        name=f"{job.group}_{folder.path.name}" if job.group else folder.path.name,
        experiment_name=experiment.name,
        seed=experiment.seed,
        group=job.group,
        config=mask_secrets(experiment.config),
        mode=experiment.launch_config.mode,
        max_steps=experiment.launch_config.max_steps,
        max_seconds=experiment.launch_config.max_seconds,
        private=is_private(experiment.interaction.environment),
    )
    summary = launch(
        experiment_name=experiment.name,
        seed=experiment.seed,
        folder=folder,
        trackers=experiment.trackers,
        run_info=info,
        resume_from=job.resume_from,
        resume_partial=job.resume_partial,
        watch=lambda handle: serve(handle, folder.path),
    )
    _tell_end(experiment, summary, folder.path)
    if job.group is None:  # a sweep has commands of its own
        steps, environment = summary["steps"], experiment.interaction.environment
        assert isinstance(steps, int)
        allowed = job.validated.allow.trusted
        print("next:")
        for command in next_steps(folder.path, steps, allowed, can_be_evaluated=can_be_evaluated(environment)):
            print(f"  {command}")
    return _exit_status(summary)


def is_private(environment: object) -> bool:
    """Whether what a world shows is the user's own, such as a camera's frames."""
    from pamiq_exp.component import components

    parts = [part for _, part in components(environment)]
    return any(getattr(part, "private", False) or getattr(part, "live", False) for part in parts)


def require_same_spaces(old: object, experiment: Experiment) -> None:
    """Refuse to go on in an environment that shows or accepts something else. Raises ConfigError."""
    if not isinstance(old, dict):
        return
    new = experiment.config["spaces"]
    message = "the environment no longer shows and accepts what it did, so the checkpoint fits neither agent nor models"
    if old != new:
        changed = [f"spaces.{name}: {old.get(name)} -> {new.get(name)}" for name in new if old.get(name) != new[name]]
        hint = "leave the environment as it was, or start another run"
        raise ConfigError(ErrorDetail("environment", f"{message}: {', '.join(changed)}", hint))


def _exit_status(summary: Mapping[str, object]) -> int:
    """0, or as a shell says it when a signal stopped the run."""
    reason = str(summary.get("reason"))
    stopped = summary.get("state") == "stopped" and reason in signal.Signals.__members__
    return 128 + signal.Signals[reason] if stopped else 0


def _keep_traceback(folder: RunFolder, error: BaseException) -> None:
    with suppress(OSError), folder.logging():
        logger.error("the run failed", exc_info=error)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)


def _mark_ended(folder: RunFolder, state: Literal["stopped", "failed"], reason: str) -> None:
    """Set the state of a run that ended before the launcher could."""
    with suppress(OSError):
        if folder.read_manifest().get("state") in (None, "running"):
            folder.finish(state, reason)


def _tell_crash(error: BaseException, folder: Path) -> None:
    notes = " ".join(getattr(error, "__notes__", []))
    words = words_of(error)
    words = words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}... ({len(words)} characters)"
    said = " ".join(filter(None, (words, notes)))
    lines = [f"the run failed: {type(error).__name__}{f': {said}' if said else ''}"]
    lines += [f"  traceback: {folder / 'log.txt'}", f"  run folder: {folder}"]
    print_message("\n".join(lines))


def _tell_end(experiment: Experiment, summary: Mapping[str, object], folder: Path) -> None:
    """Print where the results are, unless a tracker has shown it already."""
    if "terminal" not in experiment.trackers:
        steps, state = summary.get("steps"), summary.get("state")
        print(f"{experiment.name}: {state} after {steps} steps, results in {folder}")
        if (sentence := coverage_sentence(summary)) is not None:
            print(sentence)
