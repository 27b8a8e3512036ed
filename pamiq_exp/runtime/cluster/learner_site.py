"""The learner's process in a run on a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.buffers import DataBuffer
from pamiq_exp.buffers.actors_user import ActorsUser, ReceivedChunk
from pamiq_exp.component import State
from pamiq_exp.ray_cluster import stand_in
from pamiq_exp.runtime.cluster.blueprint import (
    Blueprint,
    DescribedEnvironment,
    EnvironmentDescription,
    require_same_versions,
)
from pamiq_exp.runtime.cluster.site import Outcome, Site, outcome_of
from pamiq_exp.runtime.config import CheckpointConfig
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner_main import LearnerServer
from pamiq_exp.runtime.publication import Parameters, SendParameters
from pamiq_exp.runtime.request_server import SentRecords
from pamiq_exp.runtime.run import Run
from pamiq_exp.runtime.watchdog import Watchdog
from pamiq_exp.seeding import derive_seed, seed_global_generators


@dataclass(frozen=True)
class Packet:
    """What an actor sends at a time.

    Attributes:
        turns: For each buffer the turns that were collected since, in pieces: number of the first one, and columns.
        dropped: For each buffer how many turns the actor has dropped since it began.
        steps: Environment steps that the actor has taken since it began.
    """

    turns: Mapping[str, list[tuple[int, dict[str, NDArray[np.generic]]]]]
    dropped: Mapping[str, int]
    steps: int


@dataclass(frozen=True)
class Publication:
    """The newest parameters.

    Attributes:
        version: Of the publication.
        training_step: Batches that had been trained.
        parameters: What has changed, by name of the model: where Ray keeps it.
    """

    version: int
    training_step: int
    parameters: Mapping[str, Any]


class LearnerSite(Site):
    """Trains on what the actors send, and gives them the newest parameters."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        stand_in(folder)
        self._changed = threading.Condition()
        self._versions: dict[str, tuple[int, Any]] = {}
        self._newest = (-1, 0)
        self._epochs: dict[int, int] = {}
        self._steps: dict[int, int] = {}
        self._engine: Engine | None = None
        self._server: _Server | None = None

    def build(
        self, blueprint: Blueprint, environment: EnvironmentDescription, expected_versions: Mapping[str, str]
    ) -> Outcome:
        """Build models, buffers and trainers."""
        return outcome_of(lambda: self._build(blueprint, environment, expected_versions))

    def _build(
        self, blueprint: Blueprint, environment: EnvironmentDescription, expected_versions: Mapping[str, str]
    ) -> None:
        require_same_versions(expected_versions)
        config = blueprint.launch_config
        seed_global_generators(derive_seed(blueprint.seed, "training"))
        parts, of_actors = blueprint.build_learner(DescribedEnvironment(environment), config.actors)
        all_of = {id(buffer): [each[name] for each in of_actors] for name, buffer in parts.buffers.items()}

        def user_of(buffer: DataBuffer, shared: bool) -> ActorsUser:
            return ActorsUser(all_of[id(buffer)])

        control = RunControl()
        quiet = replace(config, checkpoint=CheckpointConfig(), inference="eager", inference_device="cpu")
        run = Run(
            parts.interaction, parts.models, parts.buffers, parts.trainers, quiet, None, {}, control, user_of=user_of
        )
        self._engine = engine = run.engine
        engine.records = SentRecords(engine, self.outbox)
        self._server = _Server(engine, self.requests.get, self.outbox, self._publish)
        self.serve(self._server, Watchdog(control, config.watchdog_seconds).watching())

    def progress(self) -> tuple[int, int, int] | None:
        """Version, training step of the newest publication, and batches trained."""
        engine = self._engine
        if engine is None:
            return None
        return engine.publisher.version, engine.publisher.training_step, engine.statistics.training_steps

    def add(self, actor: int, epoch: int, packet: Packet) -> int:
        """Take what an actor has sent; return how many bytes of all that it sent training has fetched.

        Args:
            actor: Number of the actor.
            epoch: How often it had been started before.
            packet: What it sends. What an earlier start of the actor still sends is not taken.
        """
        engine = self._require_engine()
        users = {name: user.users[actor] for name, user in engine.users.items() if isinstance(user, ActorsUser)}
        with self._changed:
            if epoch < self._epochs.get(actor, -1):
                return 0
            begins = epoch > self._epochs.get(actor, -1)
            self._epochs[actor] = epoch
            before = 0 if begins else self._steps.get(actor, 0)
            self._steps[actor] = packet.steps
            engine.statistics.steps += packet.steps - before
            for name, user in users.items():
                if begins:
                    user.collector.begin()
                    user.alive = True
                chunks = [ReceivedChunk(columns, first) for first, columns in packet.turns.get(name, ())]
                user.collector.receive(chunks, packet.dropped.get(name, 0))
            fetched = sum(user.collector.fetched_bytes for user in users.values())
        engine.control.data_signal.announce()
        return fetched

    def gone(self, actor: int) -> int:
        """Stop waiting for an actor: it has died. Return the steps that it has reported since it was started."""
        engine = self._require_engine()
        for user in engine.users.values():
            if isinstance(user, ActorsUser):
                user.users[actor].alive = False
        engine.control.data_signal.wake()
        return self._steps.get(actor, 0)

    def newest(self, seen: int, seconds: float) -> Publication | None:
        """Return the newest publication if it is newer than the version `seen`; else wait for one for as long."""
        end = time.monotonic() + seconds
        with self._changed:
            while self._newest[0] <= seen and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._newest[0] <= seen:
                return None
            parameters = {name: kept for name, (version, kept) in self._versions.items() if version > seen}
            return Publication(*self._newest, parameters)

    def copied(self, number: int) -> Mapping[str, State]:
        """Return the state that was copied by the request `copy`, once."""
        if self._server is None:
            raise RuntimeError("the learner has not been built")
        return self._server.take_copy(number)

    def _publish(self, parameters: Parameters, version: int, training_step: int) -> None:
        import ray

        kept = {name: (version, ray.put(memory)) for name, memory in parameters.items()}
        with self._changed:
            self._versions |= kept
            self._newest = version, training_step
            self._changed.notify_all()

    def _require_engine(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the learner has not been built")
        return self._engine


class _Server(LearnerServer):
    in_turn = ("start", "train", "end_trace", "summary", "close")

    def __init__(
        self, engine: Engine, receive: Callable[[], Any], sender: Any, send_parameters: SendParameters
    ) -> None:
        super().__init__(engine, receive, sender)
        self._send_parameters = send_parameters

    def do_start(self, checkpoint: Mapping[str, State] | None = None) -> list[str]:
        """Set up, go on from a checkpoint, and publish what the actors begin with."""
        self._checkpoint = checkpoint
        differences = super().do_start()
        if checkpoint is not None:
            self._engine.statistics.steps = checkpoint["runtime"]["steps"]
        self._engine.publisher.send_by(self._send_parameters)
        return differences

    def take_copy(self, number: int) -> Mapping[str, State]:
        """Return a copied state, once."""
        return self._copies.pop(number).groups
