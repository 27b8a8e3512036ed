"""One launch: its parts put together, and its way from setup to summary."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pamiq_exp.buffers import DataBuffer, DataUser, log_buffer_sizes
from pamiq_exp.component import Component, State, components
from pamiq_exp.interaction import Interaction, StepObserver
from pamiq_exp.publishable import Model
from pamiq_exp.run_folder import RunFolder
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.clock import VirtualClock, WallClock
from pamiq_exp.runtime.config import WALL_CLOCK, LaunchConfig
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.device import inference_place, make_fabric, require_device
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.first_calls import FirstCalls
from pamiq_exp.runtime.frameworks import move_to, parameter_count
from pamiq_exp.runtime.handle import RunHandle
from pamiq_exp.runtime.learner import Learner, LocalLearner, set_up_part
from pamiq_exp.runtime.learner_process import ProcessLearner
from pamiq_exp.runtime.lockstep import run_lockstep
from pamiq_exp.runtime.pipelined import PipelinedLoop
from pamiq_exp.runtime.process_settings import frozen_heap
from pamiq_exp.runtime.publication import Publisher
from pamiq_exp.runtime.realtime import run_realtime
from pamiq_exp.runtime.records import RecordStream
from pamiq_exp.runtime.run_state import load_inference_state, pending_round, require_fit, restore_global_generators
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.scheduling import torch_threads
from pamiq_exp.runtime.sequential import require_going_on, run_sequential
from pamiq_exp.runtime.statistics import RunStatistics
from pamiq_exp.runtime.trace import Trace
from pamiq_exp.runtime.watchdog import STOP_TIMEOUT, Watchdog
from pamiq_exp.tracking import JsonlTracker, RecordWriter, RunInfo, TerminalTracker, Tracker
from pamiq_exp.trainers import Trainer, TrainingContext

if TYPE_CHECKING:
    from pamiq_exp.runtime.training_processes import TrainingProcesses

logger = logging.getLogger(__name__)

Summary = dict[str, float | int | str]


class Run:
    """One launch, from its parts to its summary.

    Args:
        interaction, models, buffers, trainers, config, folder, trackers: See `launch`.
        control: Stops and pauses it.
        user_of: Makes the training end of a buffer.
        engine_of: What takes turns.
        learner_of: Makes the learner, by default that of `launcher.learner` on this machine.
    """

    def __init__(
        self,
        interaction: Interaction,
        models: Mapping[str, Model],
        buffers: Mapping[str, DataBuffer],
        trainers: Mapping[str, Trainer],
        config: LaunchConfig,
        folder: RunFolder | None,
        trackers: Mapping[str, Tracker],
        control: RunControl,
        user_of: Callable[[DataBuffer, bool], DataUser] = DataUser,
        engine_of: type[Engine] = Engine,
        learner_of: Callable[[Engine], Learner] | None = None,
    ) -> None:
        _require_parameters(models, config.max_parameters)
        if config.mode == "sequential":
            require_going_on(interaction.environment)
        require_device(config.device, config.precision, config.inference_device, config.devices)
        fabric = make_fabric(config.device, config.precision) if models or trainers else None
        device = torch.device("cpu") if fabric is None else fabric.device
        shared = config.learner == "process"
        if shared:
            _require_fork(device)
        self._others = _others(models, config, device)
        move_to(device, models)
        self.config = config
        self.folder = folder
        self.control = control
        self.clock = WallClock(config.time_scale) if config.mode in WALL_CLOCK else VirtualClock()
        log_buffer_sizes(buffers)
        users = {name: user_of(buffer, shared) for name, buffer in buffers.items()}
        self.writer = None
        if folder is not None:
            own = {"jsonl": JsonlTracker(hold=folder.hold)}
            self.writer = RecordWriter(own | dict(trackers), folder.path, hold=folder.hold)
        if fabric is not None:
            context = TrainingContext(
                models, users, fabric, config.on_nonfinite, lambda: publisher.version, config.max_steps,
                None if self._others is None else self._others.group,
            )  # fmt: skip
            for trainer in trainers.values():
                trainer.attach(context)
        # Only now: Lightning's own `setup` and `configure_model` may have built layers or chosen a precision.
        acts_on = None if config.inference_device is None else inference_place(config.inference_device)
        publisher = Publisher(models, shared, config.inference, acts_on)
        statistics = RunStatistics(interaction, users, trainers, self.clock, publisher, self.writer, folder, shared)
        records = RecordStream(self.writer, statistics)
        self._first_calls = FirstCalls(interaction.agent) if models and config.inference != "eager" else None
        interaction.agent.attach(publisher.inference_models(), {name: user.collector for name, user in users.items()})
        interaction.skip_nonfinite = config.on_nonfinite == "skip"
        # Where nothing shows what is logged, warnings go to the terminal by themselves.
        shown = folder is None or any(isinstance(tracker, TerminalTracker) for tracker in trackers.values())
        self._report = None if shown else _print_warning
        self.engine = engine_of(
            interaction, models, users, trainers, config, self.clock, self.control, publisher, statistics, records,
            device, acts_on,
        )  # fmt: skip
        if config.trace and config.mode in WALL_CLOCK:
            self._begin_trace()
        if learner_of is None:
            learner_of = partial(ProcessLearner, report=self._report) if shared else LocalLearner
        self.learner = learner_of(self.engine)
        place = (None,) if folder is None else (folder.checkpoints, folder.hold)
        self.saver = Saver(self.engine, self.learner, *place)

    def execute(
        self,
        info: RunInfo,
        resume_from: Path | None,
        resume_partial: bool,
        watch: Callable[[RunHandle], AbstractContextManager[None]] | None,
        checkpoint: Mapping[str, State] | None = None,
    ) -> Summary:
        """Set up, run, save, tear down; raise what went wrong on the way.

        Args:
            info, resume_from, resume_partial, watch: See `launch`.
            checkpoint: What to go on from, where it has been read before.
        """
        parts = dict(components({"interaction": self.engine.interaction}))
        try:
            if resume_from is not None:
                checkpoint = read_checkpoint(resume_from)
            if self._others is not None:
                self._others.start()
            differences = self.learner.start(checkpoint)
            for address, part in parts.items():
                set_up_part(part, address)
            pending = None
            if checkpoint is not None:
                pending = self.load(checkpoint, differences, resume_partial)
                info = replace(info, resumed_step=self.engine.statistics.steps)
                self.engine.stop_if_done()
            self._make_first_calls()
            self.saver.start()
            self.engine.trace.start(info.seed, resume_from)
            if self.writer is not None:
                self.writer.start(info)
            handle = RunHandle(self.engine, self.control, self.saver)
            console = watch(handle) if watch is not None else nullcontext()
            with console, frozen_heap(), self._watchdog().watching():
                self.clock.start()
                self._loop(pending)
        except BaseException as error:
            self.control.fail("main", error)
        finally:
            self.clock.pause()
        return self._finish(info, list(parts.values()))

    def load(self, checkpoint: Mapping[str, State], differences: list[str], partial: bool) -> State | None:
        """Restore the agent's side; return what was still to be published when the run was saved."""
        differences = differences + load_inference_state(self.engine, checkpoint)
        require_fit(differences, partial)
        for difference in differences:
            logger.warning("resumed without a part: %s", difference)
        restore_global_generators(checkpoint)
        return pending_round(self.engine, checkpoint)

    def _make_first_calls(self) -> None:
        """Trace or compile inference where nothing waits for it, with the learner's process under way."""
        first, engine = self._first_calls, self.engine
        if first is not None:
            self._first_calls = None
            fields = {name: user.collector.fields for name, user in engine.users.items()}
            with torch_threads(self.config.threads.inference):
                first.make(engine.interaction.environment, engine.publisher.inference_models(), fields)

    def _loop(self, pending: State | None) -> None:
        ended = True
        if self.config.mode == "sequential":
            run_sequential(self.engine, self.saver)
        elif isinstance(self.clock, WallClock):
            ended = run_realtime(self.engine, self.saver, self.learner)
        elif self.config.mode == "lockstep":
            run_lockstep(self.engine, self.clock, self.saver)
        else:
            PipelinedLoop(self.engine, self.clock, self.saver, pending).run()
        if self.control.failure is None and ended:
            self.saver.save_at_end()
            self.learner.end_trace()

    def _begin_trace(self) -> None:
        if self.folder is None:
            raise ValueError("launcher.trace: a trace is kept in a run folder: pass folder=... to launch")
        trace = Trace(self.engine, self.folder)
        self.engine.trace = trace
        self.engine.interaction.environment = trace.environment

    def _watchdog(self) -> Watchdog:
        stop_timeout = STOP_TIMEOUT if self.config.mode in WALL_CLOCK else None
        return Watchdog(self.control, self.config.watchdog_seconds, self._report, stop_timeout)

    def _finish(self, info: RunInfo, parts: list[Component]) -> Summary:
        metrics = self._metrics()
        for part in reversed(parts):  # first what moves
            self._attempt(part.teardown)
        self._attempt(self.learner.close)
        if self._others is not None:
            self._attempt(self._others.close)
        self._attempt(self.engine.trace.close)
        for observer in self.engine.interaction.observers.values():  # recorders have ended what they had begun
            self._attempt(partial(_show, self.engine.records, observer))
        summary = self._summary(info, metrics)
        if self.writer is not None:
            self.writer.close(self.control.exit_code, summary)
            if self.writer.error is not None:
                self.control.fail("tracking", self.writer.error)
            summary = self._summary(info, metrics)
        if self.folder is not None:
            details = {"inference": self.engine.publisher.inference_notes} if self.config.inference != "eager" else {}
            self.folder.finish(self.control.stop_state, self.control.stop_reason, summary, details)
        failure = self.control.failure
        if failure is not None:
            failure.error.add_note(f"(raised in the {failure.thread} thread)")
            raise failure.error
        return summary

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do something that belongs to the end of a run; if it fails, the run has failed, but the end goes on."""
        try:
            action()
        except BaseException as error:
            logger.exception("while the run ended")
            if not self.control.turn_given_up:
                self.control.fail("main", error)

    def _metrics(self) -> Summary:
        """What the experiment measured, under plain names; nothing after a failure, whose parts may be half done."""
        metrics: Summary = {}
        if self.control.failure is None:
            interaction = self.engine.interaction
            measures = [interaction.agent.summary, interaction.environment.summary]
            measures += [observer.summary for observer in interaction.observers.values()]
            measures.append(self.learner.summary)
            for measure in measures:
                self._attempt(partial(_update, metrics, measure))
        return metrics

    def _summary(self, info: RunInfo, metrics: Summary) -> Summary:
        return {
            "experiment_name": info.experiment_name,
            "seed": info.seed,
            "state": self.control.stop_state,
            "reason": self.control.stop_reason,
            **self.engine.statistics.summary(),
            **metrics,
        }


def _others(models: Mapping[str, Model], config: LaunchConfig, device: torch.device) -> TrainingProcesses | None:
    """Return the processes that train together with this one; None if it trains alone."""
    if config.devices == 1:
        return None
    from pamiq_exp.runtime.training_processes import TrainingProcesses  # imports Lightning, which takes seconds

    return TrainingProcesses(models, config, device)


def _require_fork(device: torch.device) -> None:
    """Raise ValueError where training cannot go to a process of its own."""
    if sys.platform == "darwin" or "fork" not in multiprocessing.get_all_start_methods():
        raise ValueError("launcher.learner=process forks this process, which is safe on Linux only: learner=thread")
    if device.type != "cpu":
        raise ValueError(
            f"launcher.learner=process trains on the CPU, and device is {device}: learner=thread, or device=cpu"
        )


def _require_parameters(models: Mapping[str, Model], most: int | None) -> None:
    counts = {name: parameter_count(model) for name, model in models.items()}
    if most is not None and sum(counts.values()) > most:
        largest = max(counts, key=lambda name: counts[name])
        raise ValueError(
            f"the model '{largest}' has {counts[largest]:,} parameters, all models {sum(counts.values()):,}; "
            f"max_parameters is {most:,}: make it smaller, or raise the limit"
        )


def _print_warning(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)


def _update(metrics: Summary, measure: Callable[[], dict[str, float]]) -> None:
    metrics.update(measure())


def _show(records: RecordStream, observer: StepObserver) -> None:
    records.show(observer.media())
