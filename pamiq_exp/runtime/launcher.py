"""`launch` runs an experiment, from its parts to its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from pamiq_exp.buffers import DataBuffer
from pamiq_exp.component import torn_down_on_error
from pamiq_exp.interaction import Interaction
from pamiq_exp.publishable import Model
from pamiq_exp.run_folder import RunFolder
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.handle import RunHandle
from pamiq_exp.runtime.memory import tune_malloc
from pamiq_exp.runtime.process_settings import stop_on_signals, switch_interval
from pamiq_exp.runtime.run import Run, Summary
from pamiq_exp.runtime.scheduling import torch_threads
from pamiq_exp.seeding import derive_seed, seed_global_generators
from pamiq_exp.tracking import RunInfo, Tracker
from pamiq_exp.trainers import Trainer


def launch(
    interaction: Interaction,
    models: Mapping[str, Model] | None = None,
    buffers: Mapping[str, DataBuffer] | None = None,
    trainers: Mapping[str, Trainer] | None = None,
    config: LaunchConfig | None = None,
    *,
    experiment_name: str = "experiment",
    seed: int = 0,
    folder: RunFolder | Path | str | None = None,
    trackers: Mapping[str, Tracker] | None = None,
    run_info: RunInfo | None = None,
    resume_from: Path | None = None,
    resume_partial: bool = False,
    watch: Callable[[RunHandle], AbstractContextManager[None]] | None = None,
) -> Summary:
    """Run an experiment to its end and return its summary.

    Args:
        interaction: The agent in its environment.
        models: What learns and is used, by name. A model that no trainer trains is published once.
        buffers: What training keeps, by name; the agent finds a collector of the same name.
        trainers: When and on what models train, by name, in the order in which they take turns.
        config: How the run goes.
        experiment_name: Goes into records and summary.
        seed: Root seed: seeds torch's, numpy's and Python's global generators, which training may use.
        folder: Where everything that the run did is kept; `~` stands for the user's home. None keeps nothing but the
            returned summary.
        trackers: Where else records go, by name. `metrics.jsonl` is always written to the folder.
        run_info: What trackers get to know of the run; made from the other arguments by default.
        resume_from: A checkpoint folder to go on from.
        resume_partial: Let parts that are not in the checkpoint start from the beginning instead of raising.
        watch: Called with a handle of the live run; returns a context that lasts as long as the run, such as a console.

    Raises:
        CheckpointError: If `resume_from` is damaged or does not fit.
        RunFolderError: If another run works in the folder, or it holds a run and `resume_from` is None.
        BaseException: Whatever a part raised, on whichever thread; a note names the thread.
    """
    config = config or LaunchConfig()
    if config.learner == "ray":
        raise ValueError(
            "launcher.learner=ray builds the parts of a run in several processes, so it takes a config, not parts: "
            "python -m pamiq_exp experiment=NAME launcher.learner=ray"
        )
    run_folder = RunFolder(Path(folder)) if isinstance(folder, (Path, str)) else folder
    if run_folder is None and trackers:
        raise ValueError("trackers need a run folder: pass folder=... to launch")
    info = run_info or describe_run(run_folder, experiment_name, seed, config)
    with prepared(info, config, run_folder, resumes=resume_from is not None) as control:
        parts = interaction, models or {}, buffers or {}, trainers or {}
        with torn_down_on_error(interaction), noted_in_manifest(run_folder, info, config):
            run = Run(*parts, config, run_folder, trackers or {}, control)
        return run.execute(info, resume_from, resume_partial, watch)


@contextmanager
def prepared(
    info: RunInfo, config: LaunchConfig, folder: RunFolder | None, *, resumes: bool = False
) -> Iterator[RunControl]:
    """Prepare this process for a run, as long as it lasts, and return what stops it.

    Args:
        info: Describes the run.
        config: How it goes.
        folder: Where it is kept; None keeps nothing.
        resumes: Whether the folder holds a run that goes on.

    Raises:
        RunFolderError: See `launch`.
    """
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(folder.owned())
            if not resumes and not folder.started:
                folder.require_unused()
            stack.enter_context(folder.logging())
        tune_malloc()
        stack.enter_context(switch_interval(config.switch_interval))
        stack.enter_context(torch_threads(config.threads.training))
        seed_global_generators(derive_seed(info.seed, "training"))
        control = RunControl(shared=config.learner == "process")
        stack.enter_context(stop_on_signals(control))
        yield control


def describe_run(folder: RunFolder | None, experiment_name: str, seed: int, config: LaunchConfig) -> RunInfo:
    path = folder.path if folder is not None else Path()
    return RunInfo(
        folder=path,
        name=path.name or experiment_name,
        experiment_name=experiment_name,
        seed=seed,
        mode=config.mode,
        max_steps=config.max_steps,
        max_seconds=config.max_seconds,
    )


@contextmanager
def noted_in_manifest(folder: RunFolder | None, info: RunInfo, config: LaunchConfig) -> Iterator[None]:
    """Begin the manifest, if the caller has not, and mark the run failed if its parts do not fit together."""
    if folder is None:
        yield
        return
    if not folder.started:
        folder.start(
            experiment_name=info.experiment_name,
            seed=info.seed,
            config=info.config,
            threads=asdict(config.threads),
            details={"launcher": asdict(config)},
        )
    try:
        yield
    except BaseException as error:
        folder.finish("failed", f"{type(error).__name__}: {error}")
        raise
