"""A run on a cluster, from its first process, which has the run folder and none of the parts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pamiq_exp.component import State
from pamiq_exp.interaction import Agent, Interaction, Observation
from pamiq_exp.ray_cluster import ClusterError, connected
from pamiq_exp.remote_errors import received_error
from pamiq_exp.run_folder import RunFolder
from pamiq_exp.runtime.checkpoints import WrittenGroups, write_groups
from pamiq_exp.runtime.cluster.actor_site import HISTOGRAMS, ActorSite, LearnerGoneError
from pamiq_exp.runtime.cluster.blueprint import Blueprint, DescribedEnvironment, EnvironmentDescription, versions
from pamiq_exp.runtime.cluster.deaths import cause_of_death, is_death
from pamiq_exp.runtime.cluster.learner_site import LearnerSite, Packet, Publication
from pamiq_exp.runtime.cluster.remote_actor import Cluster, RemoteActor
from pamiq_exp.runtime.config import LaunchConfig
from pamiq_exp.runtime.durations import Durations, MergedDurations
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.handle import RunHandle
from pamiq_exp.runtime.launcher import noted_in_manifest, prepared
from pamiq_exp.runtime.learner_elsewhere import PATIENCE, LearnerElsewhere, TrainingElsewhere
from pamiq_exp.runtime.request_server import Message, RemoteError, Request
from pamiq_exp.runtime.run import Run, Summary
from pamiq_exp.tracking import RunInfo, Tracker

_LOOK_SECONDS = 0.05
"""Between two looks at the actors."""

_NEWS_SECONDS = 0.1
_THREADS = 16
"""Requests that a process of the cluster answers at the same time, besides those of actors."""


class RayLink:
    """See `LearnerLink`."""

    def __init__(self, learner: Any, number: int, epoch: int) -> None:
        self._learner = learner
        self._number = number
        self._epoch = epoch

    def send(self, packet: Packet) -> int:
        """See `LearnerSite.add`."""
        fetched: int = self._get(self._learner.add.remote(self._number, self._epoch, packet))
        return fetched

    def newest(self, seen: int, seconds: float) -> Publication | None:
        """See `LearnerSite.newest`, with the parameters themselves."""
        found: Publication | None = self._get(self._learner.newest.remote(seen, seconds))
        if found is None:
            return None
        arrays = self._get(list(found.parameters.values()))
        return Publication(found.version, found.training_step, dict(zip(found.parameters, arrays, strict=True)))

    def _get(self, references: Any) -> Any:
        import ray

        try:
            return ray.get(references)
        except ray.exceptions.ObjectLostError as error:
            raise LearnerGoneError("the learner has ended, and its parameters with it") from error
        except ray.exceptions.RayError as error:
            if not is_death(error):
                raise
            raise LearnerGoneError("the learner has ended") from error


class ActorsEnvironment(DescribedEnvironment):
    """Stands for the environments of all actors."""

    def __init__(self, description: EnvironmentDescription, actors: Sequence[RemoteActor]) -> None:
        super().__init__(description)
        self.actors = list(actors)

    def summary(self) -> dict[str, float]:
        """End the actors, and return the means of what they have measured."""
        ends = [threading.Thread(target=actor.end) for actor in self.actors]
        for each in ends:
            each.start()
        for each in ends:
            each.join()
        measured = [actor.measured for actor in self.actors]
        names = dict.fromkeys(name for each in measured for name in each)
        values = {name: [each[name] for each in measured if name in each] for name in names}
        return {name: sum(found) / len(found) for name, found in values.items()}


class _NoAgent(Agent[Observation, Any]):
    def step(self, observation: Observation) -> Any:
        raise RuntimeError("the agents are in other processes")


class ActorsEngine(Engine):
    """Looks after the actors in the place of taking turns."""

    @property
    def _actors(self) -> list[RemoteActor]:
        environment = self.interaction.environment
        return environment.actors if isinstance(environment, ActorsEnvironment) else []

    def turn(self) -> None:
        """Wait a moment, let the actors advance, and count what they have done."""
        self.control.wait(_LOOK_SECONDS)
        for actor in self._actors:
            try:
                actor.advance()
            except BaseException as error:
                self.control.fail(f"actor {actor.number}", error)
        self._count()
        if self.records.error is not None:
            self.control.fail("tracking", self.records.error)
        self.stop_if_done()

    def flush(self) -> None:
        """See `Engine.flush`: no actor takes a turn any more."""
        for actor in self._actors:
            actor.on_pause()
        self._count()

    def _count(self) -> None:
        actors, statistics = self._actors, self.statistics
        for name in ("steps", "turns", "deadline_misses"):
            total = sum(actor.counted(name) for actor in actors)
            setattr(statistics, name, getattr(statistics, name) + total - self._counted.get(name, 0))
            self._counted[name] = total
        statistics.skipped_turns = sum(actor.counted("skipped_turns") for actor in actors)
        self.interaction.skipped_actions = sum(actor.counted("skipped_actions") for actor in actors)
        statistics.restarts = sum(actor.restarts for actor in actors)

    def begin(self) -> None:
        """Take charge of the actors."""
        self._counted: dict[str, int] = {}
        statistics = self.statistics
        for kind in HISTOGRAMS:
            setattr(statistics, kind, MergedDurations(partial(self._durations, kind)))
        statistics.queues = {f"actor {actor.number}": actor for actor in self._actors}
        for actor in self._actors:
            actor.attach(self, self._count)

    def _durations(self, kind: str) -> list[Durations]:
        return [part for actor in self._actors for part in actor.durations(kind)]


class RayLearner(LearnerElsewhere):
    """Training in a process of the cluster."""

    def __init__(self, engine: Engine, ray: Any, process: Any, build: Callable[[], Any]) -> None:
        super().__init__(engine)
        self._ray = ray
        self._process = process
        self._build = build
        self._receiver = threading.Thread(target=self._receive, name="learner-messages", daemon=True)

    def start(self, checkpoint: Mapping[str, State] | None) -> list[str]:
        """See `Learner.start`."""
        try:
            _, error, trace = self._ray.get(self._build())
        except self._ray.exceptions.RayError as death:
            raise RemoteError(cause_of_death("the learner", death)) from death
        if error is not None:
            raise received_error(error, trace)
        self._receiver.start()
        differences: list[str] = self._requests.ask("start", checkpoint).result()
        return differences

    def training(self) -> TrainingElsewhere:
        """See `Learner.training`."""
        return TrainingElsewhere(self._engine, self._requests.ask)

    def _write(self, copy: int, folder: Path) -> WrittenGroups:
        """The disk of the run folder is here: the state comes through Ray."""
        try:
            return write_groups(self._ray.get(self._process.copied.remote(copy)), folder)
        except self._ray.exceptions.RayError as error:
            raise OSError(f"the learner's state could not be fetched: {' '.join(str(error).split())}") from error

    def close(self) -> None:
        """See `Learner.close`."""
        self._ending = True
        try:
            if self._receiver.is_alive():
                self._requests.ask("close").result(PATIENCE)
        except (RemoteError, TimeoutError):
            pass
        finally:
            self._requests.end(RemoteError("the run is over"))
            self._ray.kill(self._process)
            if self._receiver.is_alive():
                self._receiver.join(PATIENCE)

    def _post(self, request: Request) -> None:
        self._process.post.remote(request)

    def _receive(self) -> None:
        try:
            while True:
                for message in self._ray.get(self._process.news.remote(_NEWS_SECONDS)):
                    self._handle(message)
        except self._ray.exceptions.RayError as error:
            self._died(RemoteError(cause_of_death("the learner", error)))
        except Exception as error:
            self._died(error)

    def _handle(self, message: Message) -> None:
        name, values = message
        if name != "progress":
            super()._handle(message)
        elif values is not None:
            version, training_step, batches = values
            publisher = self._engine.publisher
            if version != publisher.version:
                publisher.receive({}, version, training_step)
            self._engine.statistics.note_batches(batches)


class ActorsAndLearner:
    """The processes of a run on a cluster. They have ended once its context is over.

    Args:
        blueprint: Builds the parts, in each process its own.
    """

    def __init__(self, ray: Any, blueprint: Blueprint) -> None:
        config = blueprint.launch_config
        self._ray = ray
        self._config = config
        self._blueprint = ray.put(blueprint)
        folder = os.getcwd()
        here = ray.get_runtime_context().get_node_id()
        learner = ray.remote(LearnerSite).options(
            num_cpus=1,
            num_gpus=0 if config.device == "cpu" else 1,
            max_concurrency=_THREADS + 2 * config.actors,
            # Near the run folder if there is room: states and records have a short way.
            scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=True),
        )
        self._learner = learner.remote(folder)

        def start_actor(number: int, epoch: int) -> Any:
            # The first start of an actor repeats; a later one goes on in another way.
            name = f"actors.{number}" + (f".{epoch}" if epoch else "")
            return ray.remote(ActorSite).options(num_cpus=1, max_concurrency=_THREADS).remote(name, folder)

        cluster = Cluster(
            ray,
            start_actor,
            lambda process: process.build.remote(self._blueprint, versions()),
            self._learner,
            partial(RayLink, self._learner),
            news_seconds=min(0.5, max(_NEWS_SECONDS, 0.02 * config.actors)),  # many are asked less often
        )
        self._actors = [RemoteActor(cluster, number) for number in range(config.actors)]

    @property
    def description(self) -> EnvironmentDescription:
        """Of the environment of the first actor, once it is built. Raises what went wrong."""
        return self._actors[0].description()

    def close(self) -> None:
        """End all processes."""
        for actor in self._actors:
            actor.teardown()
        self._ray.kill(self._learner)

    def launch(
        self,
        config: LaunchConfig,
        *,
        experiment_name: str,
        seed: int,
        folder: RunFolder,
        trackers: Mapping[str, Tracker],
        run_info: RunInfo,
        resume_from: Path | None = None,
        resume_partial: bool = False,
        watch: Callable[[RunHandle], AbstractContextManager[None]] | None = None,
    ) -> Summary:
        """Run to the end, and return the summary. See `pamiq_exp.runtime.launch`."""
        environment = ActorsEnvironment(self.description, self._actors)

        def build_learner() -> Any:
            return self._learner.build.remote(self._blueprint, self.description, versions())

        with prepared(run_info, config, folder, resumes=resume_from is not None) as control:
            with noted_in_manifest(folder, run_info, config):
                here = replace(config, device="cpu")  # no model is in this process
                run = Run(
                    Interaction(_NoAgent(), environment), {}, {}, {}, here, folder, trackers, control,
                    engine_of=ActorsEngine,
                    learner_of=lambda engine: RayLearner(engine, self._ray, self._learner, build_learner),
                )  # fmt: skip
                engine = run.engine
                assert isinstance(engine, ActorsEngine)
                engine.begin()
            return run.execute(run_info, resume_from, resume_partial, watch)


def _require_room(ray: Any, config: LaunchConfig) -> None:
    """Raise ClusterError for a cluster that could never hold all processes."""
    found = ray.cluster_resources()
    cpus, gpus = int(found.get("CPU", 0)), int(found.get("GPU", 0))
    if cpus < config.actors + 1:
        raise ClusterError(
            f"launcher.actors: {config.actors} actors and the learner take {config.actors + 1} CPUs, and the cluster "
            f"has {cpus}: set fewer, or ray start --num-cpus=N where the actors mostly wait"
        )
    if config.device != "cpu" and not gpus:
        raise ClusterError(f"launcher.device is {config.device}, and no machine of the cluster has a GPU: device=cpu")


@contextmanager
def on_cluster(blueprint: Blueprint) -> Iterator[ActorsAndLearner]:
    """Start the processes of a run, and end them.

    Raises:
        ClusterError: The cluster cannot be used.
        Exception: What was raised while the first actor was built.
    """
    config = blueprint.launch_config
    with connected(config.cluster, cpus=config.actors + 1) as ray:
        _require_room(ray, config)
        processes = ActorsAndLearner(ray, blueprint)
        try:
            yield processes
        finally:
            processes.close()
