"""Turns that an actor sends to a remote learner, and the parameters that it receives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pamiq_exp.buffers import RingBuffer
from pamiq_exp.interaction import Interaction
from pamiq_exp.runtime import LaunchConfig
from pamiq_exp.runtime.cluster import actor_site
from pamiq_exp.runtime.cluster.actor_site import Courier, DistantLearner, LearnerGoneError, bounded_user
from pamiq_exp.runtime.cluster.learner_site import Packet, Publication
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.run import Run
from tests.runtime.parts import FIELDS, CollectingAgent, NoisyWorld, SmallTrainer, linear_model


class Link:
    """A learner whose number of fetched turns is set by the test."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.fetched = 0
        self.publication: Publication | None = None

    def send(self, packet: Packet) -> int:
        self.packets.append(packet)
        return self.fetched

    def newest(self, seen: int, seconds: float) -> Publication | None:
        if self.publication is None:
            raise LearnerGoneError("the learner has ended")
        return self.publication


def run_with(link: Link) -> Run:
    buffers = {"experience": RingBuffer(64, 1, FIELDS)}
    return Run(
        Interaction(CollectingAgent(), NoisyWorld()), {"linear": linear_model()}, buffers, {"linear": SmallTrainer()},
        LaunchConfig(), None, {}, RunControl(), user_of=bounded_user,
        learner_of=lambda engine: DistantLearner(engine, link),
    )  # fmt: skip


def turns(packet: Packet) -> list[tuple[int, int]]:
    return [(first, len(columns["observation.vector"])) for first, columns in packet.turns.get("experience", ())]


def test_courier_sends_all_turns_once_with_steps_and_drops() -> None:
    link = Link()
    run = run_with(link)
    courier = Courier(run.engine, link)
    for _ in range(3):
        run.engine.turn()
    courier.send()
    run.engine.turn()
    run.engine.statistics.queues["experience"].collector.dropped = 7  # type: ignore[attr-defined]
    courier.send()
    assert [turns(packet) for packet in link.packets] == [[(0, 3)], [(3, 1)]]
    assert [packet.steps for packet in link.packets] == [3, 4]
    assert link.packets[1].dropped == {"experience": 7}


def test_courier_holds_turns_while_the_learner_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_site, "MOST_BYTES", 12)  # one turn
    link = Link()
    run = run_with(link)
    courier = Courier(run.engine, link)
    for _ in range(4):
        run.engine.turn()
    courier.send()
    run.engine.turn()
    courier.send()
    assert [bool(turns(packet)) for packet in link.packets] == [True, False]
    assert run.engine.users["experience"].pending == 1
    link.fetched = 100
    courier.send()
    courier.send()
    assert run.engine.users["experience"].pending == 0


def test_bounded_user_limits_waiting_turns_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor_site, "MOST_BYTES", 12 * 5)
    user = bounded_user(RingBuffer(64, 1, FIELDS), False)
    for _ in range(20):
        user.collector.collect({"observation.vector": np.zeros((1, 3), np.float32)})
    assert user.pending <= 5
    assert user.dropped >= 15


def test_courier_takes_the_learners_parameters_before_the_first_turn() -> None:
    link = Link()
    run = run_with(link)
    other = run_with(link)
    sent: list[tuple[Any, int, int]] = []
    other.engine.publisher.send_by(lambda memory, version, step: sent.append(({**memory}, version, step)))
    sent[0][0]["linear"][:] = 1
    link.publication = Publication(5, 40, sent[0][0])
    run.learner.start(None)
    assert (run.engine.publisher.version, run.engine.publisher.training_step) == (5, 40)
    memory = run.engine.publisher.snapshot.modules["linear"].layer.weight.detach().numpy().view(np.uint8)
    assert (memory == 1).all()


def test_courier_refuses_parameters_of_another_model() -> None:
    link = Link()
    link.publication = Publication(5, 40, {"linear": np.zeros(3, np.uint8)})
    with pytest.raises(ValueError, match="the learner's model 'linear' has 3 bytes of parameters, and this one"):
        run_with(link).learner.start(None)


def test_courier_stops_the_actor_without_an_error_when_the_learner_ends() -> None:
    class Gone(Link):
        def send(self, packet: Packet) -> int:
            raise LearnerGoneError("the learner has ended")

    run = run_with(Gone())
    Courier(run.engine, Gone()).run()
    assert run.engine.control.stopping
    assert run.engine.control.failure is None
