"""One actor of a run on a cluster, as the run's first process sees it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from pamiq_exp.component import Component, State
from pamiq_exp.remote_errors import received_error
from pamiq_exp.runtime.cluster.actor_site import ActorProgress
from pamiq_exp.runtime.cluster.blueprint import EnvironmentDescription
from pamiq_exp.runtime.cluster.deaths import cause_of_death, is_death
from pamiq_exp.runtime.durations import Durations
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner_elsewhere import PATIENCE
from pamiq_exp.runtime.request_server import Message, RemoteError, Requests

logger = logging.getLogger(__name__)

_MOST_FAILED_STARTS = 3
"""After so many deaths without a turn between them the run ends."""


@dataclass(frozen=True)
class Cluster:
    """What starts and reaches processes.

    Attributes:
        ray: The module, connected.
        start_actor: Starts the process of an actor by number and epoch (see `RemoteActor`), and returns Ray's handle.
        begin_building: Has a process build its parts, and returns Ray's reference of the outcome.
        learner: Ray's handle of the learner's process.
        link: Makes an actor's link to the learner, by number and epoch.
        news_seconds: How long an actor waits for something to send before it only sends how far it is.
    """

    ray: Any
    start_actor: Callable[[int, int], Any]
    begin_building: Callable[[Any], Any]
    learner: Any
    link: Callable[[int, int], Any]
    news_seconds: float


class RemoteActor(Component):
    """Starts the process of an actor, again if it has died, and knows how far it is.

    Its state is the state of the interaction there. It belongs to the thread that calls `advance`; messages of the
    process arrive on a thread of their own.

    Attributes:
        number: Of the actor, from 0.
        restarts: How often it was started again.
        total: Environment steps that it has taken in this process, restarts included.
        measured: What it has measured, once it has ended.
    """

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.number = number
        self.restarts = 0
        self.measured: dict[str, float] = {}
        self._cluster = cluster
        self._engine: Engine | None = None
        self._count: Callable[[], None] | None = None
        self._noting = threading.Lock()
        self._from: State | None = None
        self._failed_starts = 0
        self._past: list[ActorProgress] = []
        self._ending = False
        self._description: EnvironmentDescription | None = None
        self._begin()

    def _begin(self) -> None:
        self._progress: ActorProgress | None = None
        self._death: BaseException | None = None
        self._run: Future[dict[str, float]] | None = None
        self._handle = self._cluster.start_actor(self.number, self.restarts)
        self._building: Any = self._cluster.begin_building(self._handle)
        self._requests = Requests(self._handle.post.remote)
        arguments, name = (self._handle, self._requests), f"actor-{self.number}-messages"
        self._receiver = threading.Thread(target=self._receive, args=arguments, name=name, daemon=True)
        self._receiver.start()

    def description(self) -> EnvironmentDescription:
        """Wait until the actor is built, and return the description of its environment. Raises what went wrong."""
        if self._building is not None:
            self._take_outcome()
        if self._description is None:
            raise self._death or RemoteError(f"the actor {self.number} has not been built")
        return self._description

    def attach(self, engine: Engine, count: Callable[[], None]) -> None:
        """Report to this engine from now on, and have all actors counted with `count`."""
        self._engine = engine
        self._count = count

    def advance(self) -> None:
        """Do what is due: begin to take turns once the parts are built, start again after a death. Never waits."""
        if self._death is not None:
            self._start_again(self._death)
        elif self._building is not None:
            ready, _ = self._cluster.ray.wait([self._building], timeout=0)
            if ready:
                self._take_outcome()
        elif self._run is None:
            self._run = self._requests.ask("run", self._cluster.link(self.number, self.restarts), self._from)
        elif self._run.done() and not self._ending:
            self._ending = True
            self.measured = self._result(self._run)

    def _take_outcome(self) -> None:
        reference, self._building = self._building, None
        try:
            description, error, trace = self._cluster.ray.get(reference)
        except self._cluster.ray.exceptions.RayError as failed:
            cause = RemoteError(cause_of_death(f"the actor {self.number}", failed))
            if not is_death(failed):
                raise cause from failed
            self._death = cause
            return
        if error is not None:
            error.add_note(f"(in the actor {self.number})")
            raise received_error(error, trace)
        if self._description not in (None, description):
            raise RemoteError(f"the environment of the actor {self.number} shows or accepts something else than before")
        self._description = description

    def _start_again(self, death: BaseException) -> None:
        try:
            steps = self._cluster.ray.get(self._cluster.learner.gone.remote(self.number))
        except self._cluster.ray.exceptions.RayError:
            return  # the learner has died as well, which ends the run
        progress = self._progress
        self._failed_starts = 0 if progress is not None and progress.turns else self._failed_starts + 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise death
        if progress is not None and self._description is not None:
            # What it had sent after it was last asked.
            more = max(0, steps - progress.steps)
            turns = progress.turns + more // int(self._description.spaces["num_envs"])
            self._past.append(replace(progress, steps=progress.steps + more, turns=turns))
        self.restarts += 1
        self._from = None
        logger.warning("%s; it is started again", death)
        self._begin()

    def _receive(self, handle: Any, requests: Requests) -> None:
        """Take what the process sends, until it ends."""
        ray = self._cluster.ray
        try:
            while True:
                for message in ray.get(handle.news.remote(self._cluster.news_seconds)):
                    self._take(message, requests)
        except ray.exceptions.RayError as error:
            death = RemoteError(cause_of_death(f"the actor {self.number}", error))
            if requests is self._requests:
                self._death = death  # before requests fail because of it
            requests.end(death)
        except Exception as error:
            requests.end(error)
            if self._engine is not None:
                self._engine.control.fail(f"actor {self.number}", error)

    def _take(self, message: Message, requests: Requests) -> None:
        if requests.take_reply(message):
            return
        name, values = message
        if name == "progress":
            if requests is self._requests:
                self._note(values)
        elif name == "log":
            logging.getLogger(values[0].name).handle(values[0])
        elif self._engine is not None:
            self._take_records(self._engine, name, values)

    def _note(self, progress: ActorProgress | None) -> None:
        """Take how far the process is, unless something newer is known: replies may overtake other messages."""
        with self._noting:
            known = self._progress
            if progress is not None and (known is None or progress.turns >= known.turns):
                progress.histograms = progress.histograms or (known.histograms if known is not None else {})
                self._progress = progress

    def _take_records(self, engine: Engine, name: str, values: Any) -> None:
        if name == "record":
            source, metrics, training_step, version, _, axes = values
            axes = {**axes, "actor": self.number, "staleness": max(0, engine.publisher.version - version)}
            engine.records.emit(source, metrics, training_step, version, axes=axes)
        elif name == "media":
            # Actors would write over each other's files.
            engine.records.show(replace(item, name=f"{item.name}_{self.number}") for item in values)

    def counted(self, name: str) -> int:
        """The sum of one of the counters of `ActorProgress` over all starts of the actor."""
        return sum(getattr(progress, name) for progress in self._all())

    def durations(self, name: str) -> list[Durations]:
        """The newest histogram of this name (see `HISTOGRAMS`) of each start."""
        return [progress.histograms[name] for progress in self._all() if progress.histograms]

    def _all(self) -> list[ActorProgress]:
        progress = self._progress
        return self._past if progress is None else [*self._past, progress]

    @property
    def dropped(self) -> int:
        """Environment steps that training never got."""
        return self.counted("dropped")

    @property
    def pending(self) -> int:
        """Environment steps that were collected and not yet sent."""
        return self._progress.pending if self._progress is not None else 0

    def on_pause(self) -> None:
        """See `Component.on_pause`: wait until the turn under way is over."""
        self._note(self._ask("pause"))

    def on_resume(self) -> None:
        """See `Component.on_resume`."""
        self._ask("resume")

    def state(self) -> State:
        """Return the state of the interaction, and count all turns that belong to it; empty while there is none."""
        state, progress = self._ask("state") or ({}, None)
        self._note(progress)
        if self._count is not None:
            self._count()
        return dict(state)

    def load_state(self, state: State) -> None:
        """Begin from this state."""
        self._from = state

    def end(self) -> dict[str, float]:
        """End the interaction, and return what it has measured; empty if it cannot be asked any more."""
        if self._run is not None and not self._ending:
            self._ending = True
            self._requests.ask("stop")
            try:
                self.measured = self._result(self._run)
            except (RemoteError, TimeoutError) as error:
                logger.warning("the actor %d did not end by itself: %s", self.number, error)
            except Exception as error:
                if self._engine is not None:
                    self._engine.control.fail(f"actor {self.number}", error)
        return self.measured

    def _result(self, run: Future[dict[str, float]]) -> dict[str, float]:
        try:
            return run.result(PATIENCE)
        except Exception as error:
            error.add_note(f"(in the actor {self.number})")
            raise

    def teardown(self) -> None:
        """End the process."""
        self.end()
        self._requests.end(RemoteError("the run is over"))
        self._cluster.ray.kill(self._handle)
        self._receiver.join(PATIENCE)

    def _ask(self, name: str) -> Any:
        """Have the process do something; None if it takes no turns, or is gone, which the next `advance` sees."""
        try:
            return self._requests.ask(name).result() if self._run is not None else None
        except RemoteError:
            return None
