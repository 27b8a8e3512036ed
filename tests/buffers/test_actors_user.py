"""The training end of a buffer that several actors fill."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pamiq_exp.buffers import DataBuffer, RingBuffer, RolloutBuffer
from pamiq_exp.buffers.actors_user import ActorsUser, ReceivedChunk
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.seeding import torch_generator

FIELDS = {"x": {"shape": [], "dtype": "float32"}}


def made(kind: type[DataBuffer] = RingBuffer, actors: int = 2, capacity: int = 16) -> ActorsUser:
    return ActorsUser([kind(capacity, 2, FIELDS) for _ in range(actors)])


def send(user: ActorsUser, actor: int, first: int, count: int, **more: Any) -> None:
    """Send turns whose value is 100 * actor + turn."""
    x = np.repeat(100.0 * actor + np.arange(first, first + count, dtype=np.float32)[:, None], 2, axis=1)
    user.users[actor].collector.receive([ReceivedChunk({"x": x}, first)], more.get("dropped", 0))


def test_actors_user_counts_the_steps_of_all_actors() -> None:
    user = made()
    send(user, 0, 0, 3)
    send(user, 1, 0, 5, dropped=2)
    assert user.pending == 16
    assert user.update() == 16
    assert (user.count_added, user.steps_held, user.pending, user.num_envs, user.dropped) == (16, 16, 0, 4, 4)
    assert len(user) == 3


def test_actors_user_samples_in_proportion_to_turns_and_never_mixes_actors() -> None:
    user = made()
    send(user, 0, 0, 4)
    send(user, 1, 0, 12)
    user.update()
    generator = torch_generator(0)
    drawn = user.sample(4000, generator)["x"]
    assert drawn.shape == (4000,)
    assert (drawn >= 100).float().mean().item() == pytest.approx(0.75, abs=0.03)
    sequences = user.sequences(500, 3, generator)["x"]
    assert sequences.shape == (500, 3)
    assert (sequences[:, 1:] - sequences[:, :-1] == 1).all()


def test_actors_user_rollouts_wait_for_all_living_actors_and_are_concatenated() -> None:
    user = made(RolloutBuffer, actors=3)
    send(user, 0, 0, 6)
    send(user, 1, 0, 4)
    user.update()
    assert user.available == 0
    user.users[2].alive = False
    assert user.available == 4
    rollout = user.take(3)["x"]
    assert rollout.tolist() == [[turn, turn, 100 + turn, 100 + turn] for turn in range(4)]
    assert user.available == 1


def test_actors_user_still_uses_the_data_of_a_dead_actor() -> None:
    user = made(RolloutBuffer)
    send(user, 0, 0, 5)
    send(user, 1, 0, 5)
    user.users[1].alive = False
    user.update()
    assert user.take(4)["x"].shape == (5, 4)


def test_actors_user_sequences_do_not_cross_the_restart_of_an_actor() -> None:
    user = made(actors=1)
    send(user, 0, 0, 3, dropped=1)
    user.users[0].collector.begin()
    send(user, 0, 0, 3, dropped=1)
    user.update()
    assert not user.holds_sequence(4)
    assert user.holds_sequence(3)
    assert user.dropped == 4


def test_actors_user_fetched_bytes_restart_with_the_actor() -> None:
    collector = made(actors=1).users[0].collector
    first = ReceivedChunk({"x": np.zeros((3, 2), np.float32)}, 0)
    collector.receive([first], 0)
    collector.begin()
    collector.receive([ReceivedChunk({"x": np.zeros((5, 2), np.float32)}, 0)], 0)
    collector.take()
    assert collector.fetched_bytes == 5 * 2 * 4


def test_actors_user_restores_the_turns_of_each_actor() -> None:
    user, other = made(), made()
    send(user, 0, 0, 3)
    send(user, 1, 0, 5, dropped=2)
    user.update()
    unclaimed, missing = restore_state({"b": other}, collect_state({"b": user}))
    assert (unclaimed, missing) == ([], [])
    assert (other.count_added, other.dropped, len(other.users[1])) == (16, 4, 5)
    other.users[1].collector.begin()
    send(other, 1, 0, 1)
    other.update()
    assert torch.equal(other.users[1].latest(2)["x"][:, 0], torch.tensor([104.0, 100.0]))
    assert not other.users[1].holds_sequence(6)
