"""The threads of a realtime run: the order of training, and how they end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping

import pytest

from pamiq_exp.interaction import FixedIntervalInteraction
from pamiq_exp.runtime import LaunchConfig, launch, realtime
from pamiq_exp.trainers import Trainer
from tests.runtime.parts import CollectingAgent, NoisyWorld


class CountingTrainer(Trainer):
    """Always ready; a round is `batches` waits, and adds its name to `rounds`."""

    def __init__(self, name: str, batches: int, rounds: list[str]) -> None:
        self.name, self.batches, self.rounds = name, batches, rounds

    def ready(self) -> bool:
        return True

    def round(self) -> Iterator[Mapping[str, float]]:
        self.rounds.append(self.name)
        for _ in range(self.batches):
            time.sleep(0.002)
            yield {}

    @property
    def training_step(self) -> int:
        return self.rounds.count(self.name)


def test_realtime_trains_in_the_order_of_the_config() -> None:
    rounds: list[str] = []
    names = {"slow": 20, "quick": 1, "another": 1}
    trainers = {name: CountingTrainer(name, batches, rounds) for name, batches in names.items()}
    interaction = FixedIntervalInteraction(CollectingAgent(model=None, buffer=None), NoisyWorld(), 0.005)
    launch(interaction, trainers=trainers, config=LaunchConfig(max_steps=100))
    assert len(rounds) > 6
    assert rounds == [("slow", "quick", "another")[index % 3] for index in range(len(rounds))]


def test_realtime_stops_in_the_middle_of_a_long_round() -> None:
    rounds: list[str] = []
    endless = CountingTrainer("endless", 10**9, rounds)
    interaction = FixedIntervalInteraction(CollectingAgent(model=None, buffer=None), NoisyWorld(), 0.005)
    began = time.monotonic()
    launch(interaction, trainers={"endless": endless}, config=LaunchConfig(max_steps=20))
    assert time.monotonic() - began < 5.0
    assert rounds == ["endless"]


def test_realtime_names_a_thread_that_does_not_end_with_its_stack(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(realtime, "STOP_TIMEOUT", 0.3)
    stuck, release = threading.Event(), threading.Event()

    class StuckTrainer(CountingTrainer):
        def round(self) -> Iterator[Mapping[str, float]]:
            stuck.set()
            stuck_here(release)
            yield {}

    def go_on_until_stuck(step: int) -> None:
        if step == 10:
            assert stuck.wait(30.0)

    world = NoisyWorld(hook=go_on_until_stuck)
    interaction = FixedIntervalInteraction(CollectingAgent(model=None, buffer=None), world, 0.001)
    try:
        with caplog.at_level(logging.ERROR):
            launch(interaction, trainers={"stuck": StuckTrainer("stuck", 1, [])}, config=LaunchConfig(max_steps=10))
    finally:
        release.set()
    assert "the threads training did not end" in caplog.text
    assert "stuck_here" in caplog.text


def stuck_here(release: threading.Event) -> None:
    release.wait(30.0)
