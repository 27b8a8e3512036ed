"""An actor's process in a run on a cluster: an interaction that sends its turns to a learner elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from pamiq_exp.buffers import DataBuffer, DataUser
from pamiq_exp.buffers.buffer import buffer_bytes
from pamiq_exp.component import State
from pamiq_exp.ray_cluster import stand_in
from pamiq_exp.run_folder.statistics import STATISTICS
from pamiq_exp.runtime.checkpoints import StateCopy
from pamiq_exp.runtime.cluster.blueprint import Blueprint, EnvironmentDescription, require_same_versions
from pamiq_exp.runtime.cluster.learner_site import Packet, Publication
from pamiq_exp.runtime.cluster.site import Outcome, Site, outcome_of
from pamiq_exp.runtime.config import CheckpointConfig
from pamiq_exp.runtime.control import RunControl, Worker
from pamiq_exp.runtime.durations import Durations
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.handle import RunHandle
from pamiq_exp.runtime.launcher import describe_run, prepared
from pamiq_exp.runtime.learner import Learner
from pamiq_exp.runtime.parts import Parts
from pamiq_exp.runtime.request_server import RequestServer, SentRecords
from pamiq_exp.runtime.run import Run
from pamiq_exp.runtime.run_state import global_generators, inference_state
from pamiq_exp.runtime.worker import run_worker

MOST_BYTES = 1 << 26
"""Of turns that wait in an actor, and of those that it has sent and training has not fetched, per actor."""

_CALL_SECONDS = 0.005
"""Between two calls of one kind that reach the learner, by any of the actors: each takes it some tenths of a ms."""

HISTOGRAMS = ("turn_durations", "lateness", "observation_ages")
"""Histograms of `RunStatistics` that an actor sends, now and then and at each pause."""

_HISTOGRAM_SECONDS = 2.0

_LONGEST_WAIT = 1.0
"""Seconds that one question for newer parameters waits for them."""


class LearnerLink(Protocol):
    """How an actor reaches the learner. Raises LearnerGoneError if it has ended."""

    def send(self, packet: Packet) -> int:
        """See `LearnerSite.add`."""

    def newest(self, seen: int, seconds: float) -> Publication | None:
        """See `LearnerSite.newest`, with the parameters themselves."""


class LearnerGoneError(Exception):
    """The learner has ended, which ends the run: the run's first process knows why."""


@dataclass
class ActorProgress:
    """What an actor has counted since it was started, see `RunStatistics`."""

    steps: int
    turns: int
    deadline_misses: int
    skipped_turns: int
    skipped_actions: int
    dropped: int
    pending: int
    observation_age_seconds: float
    histograms: dict[str, Durations]
    """By the names of `HISTOGRAMS`; empty where they were sent a moment ago."""


class ActorSite(Site):
    """Builds an interaction and takes turns.

    Args:
        name: Of the actor and of its start: from it, its seeds are derived.
        folder: Where the run's first process stands.
    """

    def __init__(self, name: str, folder: str) -> None:
        super().__init__()
        stand_in(folder)
        self._name = name
        self._server: _Server | None = None

    def build(self, blueprint: Blueprint, expected_versions: Mapping[str, str]) -> Outcome:
        """Build the interaction, and return the description of its environment."""
        return outcome_of(lambda: self._build(blueprint, expected_versions))

    def _build(self, blueprint: Blueprint, expected_versions: Mapping[str, str]) -> EnvironmentDescription:
        require_same_versions(expected_versions)
        parts = blueprint.build_actor(self._name)
        self._server = _Server(self, blueprint, parts, blueprint.actor_seed(self._name))
        self.serve(self._server)
        return EnvironmentDescription.of(parts.interaction.environment)

    def progress(self) -> ActorProgress | None:
        """See `Site.progress`."""
        return None if self._server is None else self._server.progress(whole=False)


class _Server(RequestServer):
    in_turn = ("run", "close")
    aside = ("pause", "state")

    def __init__(self, site: Site, blueprint: Blueprint, parts: Parts, seed: int) -> None:
        super().__init__(site.requests.get, site.outbox)
        self._blueprint = blueprint
        self._parts = parts
        self._seed = seed
        self._control: RunControl | None = None
        self._engine: Engine | None = None
        self._before = (0, 0, 0)
        self._histograms_sent = 0.0
        self._learner: Learner | None = None
        self._paused = False
        self._stopped = False

    def do_run(self, link: LearnerLink, checkpoint: Mapping[str, State] | None) -> dict[str, float]:
        """Take turns until `stop`, and return what was measured."""
        config = replace(self._blueprint.launch_config, device="cpu", max_seconds=None, checkpoint=CheckpointConfig())
        info = describe_run(None, "actor", self._seed, config)
        with prepared(info, config, None) as control:
            self._control = control
            if self._stopped:
                control.stop("stopped", "")
            if self._paused:
                control.pause(0.0)
            parts = self._parts
            run = Run(
                parts.interaction, parts.models, parts.buffers, parts.trainers, config, None, {}, control,
                user_of=bounded_user, learner_of=partial(DistantLearner, link=link),
            )  # fmt: skip
            self._learner = run.learner
            run.engine.records = SentRecords(run.engine, self._sender)
            if checkpoint is not None:  # nothing in this process draws from the global generators, or publishes
                checkpoint = {**checkpoint, "generators": global_generators(), "publication": {"pending": None}}
            summary = run.execute(info, None, False, partial(self._watch, run.engine), checkpoint)
        own = {"experiment_name", "seed", "state", "reason"} | STATISTICS.keys()
        return {name: float(value) for name, value in summary.items() if name not in own}

    @contextmanager
    def _watch(self, engine: Engine, handle: RunHandle) -> Iterator[None]:
        statistics = engine.statistics
        self._before = statistics.steps, statistics.turns, statistics.deadline_misses
        self._engine = engine
        yield

    def do_pause(self) -> ActorProgress | None:
        """Let no turn begin, wait for the one under way, and return how far the actor is."""
        self._paused = True
        if self._control is not None:
            self._control.pause()
        return self.progress()

    def do_resume(self) -> None:
        """Let turns go on."""
        self._paused = False
        if self._control is not None:
            self._control.resume()

    def do_stop(self) -> None:
        """End `run`."""
        self._stopped = True
        if self._control is not None:
            self._control.stop("stopped", "")

    def do_state(self) -> tuple[dict[str, State], ActorProgress | None] | None:
        """Copy what the interaction owns between two turns, and send the learner all turns before.

        Returns the copy, and how far the actor was; None before its first turn.
        """
        engine, control, learner = self._engine, self._control, self._learner
        if engine is None or control is None or learner is None:
            return None
        workers = {worker.name: worker for worker in control.workers}
        copied = control.run_at_safe_point(workers.get("inference"), lambda: (inference_state(engine), self.progress()))
        control.run_at_safe_point(workers.get(Courier.NAME), lambda: learner.copy_state(None))
        return copied

    def do_close(self) -> None:
        """Nothing is left to do once `run` has ended."""

    def progress(self, whole: bool = True) -> ActorProgress | None:
        """How far the actor is, with histograms if `whole` or if it is time; None before its first turn."""
        engine = self._engine
        if engine is None:
            return None
        counted, now = engine.statistics, time.monotonic()
        histograms = {}
        if whole or now - self._histograms_sent > _HISTOGRAM_SECONDS:
            self._histograms_sent = now
            histograms = {name: getattr(counted, name) for name in HISTOGRAMS}
        steps, turns, misses = self._before
        return ActorProgress(
            counted.steps - steps, counted.turns - turns, counted.deadline_misses - misses, counted.skipped_turns,
            counted.skipped_actions, counted.dropped, counted.pending, counted.observation_age_seconds, histograms,
        )  # fmt: skip


def bounded_user(buffer: DataBuffer, shared: bool) -> DataUser:
    """Return a data user in whose collector at most `MOST_BYTES` wait."""
    turn = max(1, buffer_bytes(1, buffer.num_envs, buffer.fields))
    return DataUser(buffer, max_pending=max(1, min(buffer.capacity, MOST_BYTES // turn)))


class DistantLearner(Learner):
    """A learner in another process, as an actor's engine sees it."""

    def __init__(self, engine: Engine, link: LearnerLink) -> None:
        self._engine = engine
        self._link = link
        self._courier: Courier | None = None

    def start(self, checkpoint: Mapping[str, State] | None) -> list[str]:
        """Take the learner's parameters, with which the first turn is taken."""
        publisher = self._engine.publisher
        publisher.receive_elsewhere()
        newest = None
        while newest is None:
            newest = self._link.newest(-1, _LONGEST_WAIT)
        publisher.receive(newest.parameters, newest.version, newest.training_step)
        return []

    def training(self) -> Courier:
        """See `Learner.training`."""
        self._courier = Courier(self._engine, self._link)
        return self._courier

    def copy_state(self, pending_round: State | None) -> StateCopy:
        """Send the learner, which is asked for its state by itself, all turns that belong to it."""
        if self._courier is not None:
            self._courier.send()
        return StateCopy({})

    def summary(self) -> dict[str, float]:
        """Nothing: see `copy_state`."""
        return {}

    def end_trace(self) -> None:
        """Nothing: see `copy_state`."""

    def close(self) -> None:
        """Nothing: see `copy_state`."""


class Courier:
    """Takes collected turns to the learner, and newer parameters from it, in the place of training."""

    NAME = "courier"

    def __init__(self, engine: Engine, link: LearnerLink) -> None:
        self.worker: Worker = engine.control.add_worker(self.NAME)
        self._engine = engine
        self._link = link
        self._sent = 0
        self._fetched = 0
        self._begin = engine.statistics.steps
        self._pause = _CALL_SECONDS * max(2, engine.config.actors)

    def run(self) -> None:
        """See `Training.run`."""
        threading.Thread(target=self._fetch_parameters, name="parameters", daemon=True).start()
        run_worker(self._engine.control, self.worker, self._loop, 1)

    def _loop(self) -> None:
        try:
            while self.worker.safe_point():
                self._send_and_wait()
            self.send()
        except LearnerGoneError as error:
            self._engine.control.stop("stopped", str(error))

    def _send_and_wait(self) -> None:
        self.send()
        signal = self._engine.control.data_signal
        signal.prepare()
        if self.worker.interrupted():
            return
        with self.worker.idle():
            signal.wait()
            time.sleep(self._pause)

    def send(self) -> None:
        """Send what was collected, unless training has too much to fetch already: then it waits in the collectors."""
        users = self._engine.users
        taken = {}
        if self._sent - self._fetched < MOST_BYTES:
            taken = {name: user.collector.take() for name, user in users.items()}
        turns = {name: [(chunk.first_turn, chunk.filled()) for chunk in chunks] for name, chunks in taken.items()}
        dropped = {name: user.collector.dropped for name, user in users.items()}
        steps = self._engine.statistics.steps - self._begin
        self._fetched = self._link.send(Packet(turns, dropped, steps))
        for name, chunks in taken.items():
            self._sent += sum(column.nbytes for _, columns in turns[name] for column in columns.values())
            users[name].collector.recycle(chunks)

    def _fetch_parameters(self) -> None:
        control, publisher = self._engine.control, self._engine.publisher
        try:
            while not control.stopping:
                newest = self._link.newest(publisher.version, _LONGEST_WAIT)
                if newest is not None:
                    publisher.receive(newest.parameters, newest.version, newest.training_step)
                    time.sleep(self._pause)
        except LearnerGoneError as error:
            control.stop("stopped", str(error))
        except BaseException as error:
            control.fail(self.NAME, error)
