"""Metrics count blocks of turns; the ends of blocks change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from pamiq_exp.component import collect_state
from pamiq_exp.interaction import Array, Interaction, Turn
from pamiq_exp.metrics import (
    ActionClass,
    Coverage,
    Episodes,
    FirstVisitAuroc,
    LongestDwell,
    NoiseInView,
    ObjectsTouched,
    RemotePresses,
    RewardByNoise,
    RewardByTenth,
    RewardNoiseCorrelation,
    Rooms,
    TimeInNoisyRoom,
    VisitationEntropy,
)
from pamiq_exp.metrics.buffered import TURNS, BufferedMetric, Rows
from pamiq_exp.metrics.model_error import Forgetting
from tests.metrics.scripted import ScriptedAgent, ScriptedWorld

NUM_ENVS, LENGTH = 3, 3 * TURNS + 10

MAKERS: Mapping[str, Callable[[], BufferedMetric]] = {
    "actions": ActionClass,
    "chosen actions": lambda: ActionClass(branches=[0, 1, 2]),
    "coverage": Coverage,
    "episodes": Episodes,
    "first visit": lambda: FirstVisitAuroc(window=200, min_visits=2),
    "forgetting": Forgetting,
    "noise": NoiseInView,
    "noisy room": TimeInNoisyRoom,
    "objects": ObjectsTouched,
    "remote": RemotePresses,
    "reward by noise": RewardByNoise,
    "reward by tenth": RewardByTenth,
    "reward and noise": lambda: RewardNoiseCorrelation(window=200),
    "rooms": Rooms,
    "longest_dwell": LongestDwell,
    "visits": VisitationEntropy,
}


def interaction_with(metrics: Mapping[str, BufferedMetric]) -> Interaction:
    """A walk at random, in which everything happens that metrics count."""
    generator = np.random.default_rng(0)
    grid = np.ones((40, 40), dtype=np.bool_)
    grid[:, 20:25] = False
    pose = np.cumsum(generator.normal(0, 0.1, (LENGTH, NUM_ENVS, 4)), axis=0)
    pose[..., :2] = np.clip(pose[..., :2] + 5.0, 0.0, 9.99)
    truth = [
        {
            "pose": pose[turn],
            "reachable": grid,
            "room": generator.integers(-1, 6, NUM_ENVS),
            "room_count": np.array(6),
            "noise_share": np.where(generator.random(NUM_ENVS) < 0.05, 0.03, generator.random(NUM_ENVS) ** 0.3),
            "noise_mask": np.zeros((NUM_ENVS, 2, 2), dtype=np.bool_),
            "noisy_room": generator.random(NUM_ENVS) < 0.5,
            "presses": np.full(NUM_ENVS, turn // 3),
            "command": generator.integers(-1, 2, (NUM_ENVS, 6)),
            "touched": generator.random((NUM_ENVS, 4)) < 0.01,
        }
        for turn in range(LENGTH)
    ]
    actions = [generator.integers(0, 3, (NUM_ENVS, 5)) for _ in range(LENGTH)]
    signals = [generator.normal(size=NUM_ENVS).astype(np.float32) for _ in range(LENGTH)]
    rewards = generator.normal(size=(LENGTH, NUM_ENVS)).astype(np.float32)
    ended = generator.random((LENGTH, NUM_ENVS)) < 0.01
    world = ScriptedWorld(truth, rewards=rewards, ended=ended, num_envs=NUM_ENVS)
    return Interaction(ScriptedAgent(actions, signals), world, metrics)


def flat(value: object) -> object:
    """State as plain lists, which can be compared."""
    if isinstance(value, Mapping):
        return {key: flat(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", MAKERS)
def test_buffered_metric_is_identical_however_often_its_state_is_read(name: str) -> None:
    """A run that is saved at any step continues like one that is never saved."""
    seldom, often = MAKERS[name](), MAKERS[name]()
    interaction = interaction_with({"seldom": seldom, "often": often})
    for turn in range(LENGTH):
        interaction.step()
        if turn % 7 == 3 or turn in (TURNS - 1, TURNS):
            collect_state(often)
    assert flat(collect_state(often)) == flat(collect_state(seldom))
    assert often.summary() == seldom.summary()
    assert seldom.summary() or name == "forgetting", "there was something to count"


class Noted(BufferedMetric):
    """Keeps what it is given."""

    title, needs = "notes", ("value",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self.values: list[Array] = []
        self.times = 0

    def count(self, rows: Rows) -> None:
        self.values.extend(rows["value"])
        self.times += 1

    def metrics(self) -> dict[str, float]:
        return {}


def test_buffered_metric_counts_each_turn_once_and_in_blocks() -> None:
    metric, latecomer = Noted(), Noted()
    truth = [{"value": np.array([float(turn), -1.0])} for turn in range(LENGTH)]
    interaction = Interaction(ScriptedAgent(), ScriptedWorld(truth, num_envs=2), {"metric": metric})
    for turn in range(LENGTH):
        if turn == 10:
            interaction.observers["latecomer"] = latecomer
        interaction.step()
    metric.report(), latecomer.report()
    assert [value[0] for value in metric.values] == list(range(LENGTH))
    assert [value[0] for value in latecomer.values] == list(range(10, LENGTH))
    assert metric.times == -(-LENGTH // TURNS)


def test_buffered_metric_keeps_fractions_that_follow_integers() -> None:
    metric = Noted()
    truth = [{"value": np.array([1])}, {"value": np.array([1])}, {"value": np.array([0.5])}]
    interaction = Interaction(ScriptedAgent(), ScriptedWorld(truth), {"metric": metric})
    for _ in truth:
        interaction.step()
    metric.report()
    assert np.concatenate(metric.values).tolist() == [1.0, 1.0, 0.5]


def test_buffered_metric_copies_arrays_that_the_environment_overwrites() -> None:
    metric, value = Noted(), np.zeros(1)
    interaction = Interaction(ScriptedAgent(), ScriptedWorld([{"value": value}] * 3), {"metric": metric})
    for turn in range(3):
        value[:] = turn
        interaction.step()
    metric.report()
    assert np.concatenate(metric.values).tolist() == [0.0, 1.0, 2.0]


def test_buffered_metric_counts_a_turn_without_an_interaction() -> None:
    metric, world = Noted(), ScriptedWorld([{"value": np.array([3.0])}])
    metric.on_step(Turn(world.observe(), np.zeros((1, 1)), ScriptedAgent(), world))
    metric.report()
    assert np.concatenate(metric.values).tolist() == [3.0]
