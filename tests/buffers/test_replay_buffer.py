"""Replay buffers store each frame of stacked images once, and give back the stacks that the agent saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers import DataUser, ReplayBuffer

STACK, CHANNELS = 3, 2
FIELDS = {
    "observation": {
        "image": {"shape": [2, 2, STACK * CHANNELS], "dtype": "uint8"},
        "n": {"shape": [], "dtype": "int64"},
    },
    "ended": {"shape": [], "dtype": "bool"},
}


def turns(count: int, num_envs: int, seed: int) -> list[dict[str, NDArray[np.generic]]]:
    """Turns of environments that stack frames: an episode begins with its first frame in place of those before."""
    random = np.random.default_rng(seed)
    stacks: list[list[NDArray[np.uint8]]] = [[] for _ in range(num_envs)]
    made = []
    for turn in range(count):
        ended = random.random(num_envs) < 0.2
        for env in range(num_envs):
            frame = random.integers(0, 256, (2, 2, CHANNELS), dtype=np.uint8)
            stacks[env] = [*stacks[env][1:], frame] if stacks[env] else [frame] * STACK
        images = np.stack([np.concatenate(stack, -1) for stack in stacks])
        made.append({"observation.image": images, "observation.n": turn * 100 + np.arange(num_envs), "ended": ended})
        for env in np.flatnonzero(ended):
            stacks[env] = []
    return made


def filled(capacity: int, num_envs: int, data: list[dict[str, NDArray[np.generic]]], first: int = 0) -> DataUser:
    user = DataUser(ReplayBuffer(capacity, num_envs, FIELDS, frame_stack=STACK))
    for each in data[first:]:
        user.collector.collect(each)
        user.update()
    return user


def test_replay_buffer_gives_the_stacks_that_were_collected() -> None:
    num_envs = 2
    data = turns(50, num_envs, seed=0)
    user = filled(32, num_envs, data)  # the ring has wrapped
    batch = user.sequences(2000, 2, torch.Generator().manual_seed(0))
    assert set((batch["observation.n"][:, 0] // 100).tolist()) == set(range(50 - 32 + STACK - 1, 49))
    for name in ("observation.image", "ended"):
        assert batch[name].shape[:2] == (2000, 2)
    for row in range(2000):
        for step in range(2):
            turn, env = divmod(int(batch["observation.n"][row, step]), 100)
            assert np.array_equal(batch["observation.image"][row, step], data[turn]["observation.image"][env])
            assert bool(batch["ended"][row, step]) == bool(data[turn]["ended"][env])


def test_replay_buffer_sample_and_latest_return_stacks() -> None:
    data = turns(20, 2, seed=1)
    user = filled(32, 2, data)
    sample = user.sample(64, torch.Generator().manual_seed(0))
    for image, code in zip(sample["observation.image"], sample["observation.n"].tolist(), strict=True):
        assert np.array_equal(image, data[code // 100]["observation.image"][code % 100])
    latest = user.latest(4)["observation.image"]
    assert np.array_equal(latest, np.stack([each["observation.image"] for each in data[-4:]]))


def test_replay_buffer_never_builds_a_stack_across_a_gap() -> None:
    data = turns(30, 1, seed=2)
    user = filled(64, 1, data[:10])
    user.collector.turn += 5  # five turns were dropped
    for each in data[15:]:
        user.collector.collect(each)
    user.update()
    batch = user.sequences(500, 2, torch.Generator().manual_seed(0))
    starts = set((batch["observation.n"][:, 0] // 100).tolist())
    assert starts == {*range(2, 9), *range(17, 29)}
    assert not user.holds_sequence(14)
    assert user.holds_sequence(13)


def test_replay_buffer_draws_identically_after_a_restore() -> None:
    data = turns(40, 2, seed=3)
    user = filled(32, 2, data)
    again = ReplayBuffer(32, 2, FIELDS, frame_stack=STACK)
    again.load_state(user.buffer.state())
    draws = [each.sequences(8, 2, torch.Generator().manual_seed(4)) for each in (user.buffer, again)]
    assert all(torch.equal(draws[0][name], draws[1][name]) for name in draws[0])


def test_replay_buffer_of_a_million_stacks_takes_the_bytes_of_single_frames() -> None:
    numbers = {"action": {"shape": [1], "dtype": "int64"}, "reward": {"shape": [], "dtype": "float32"}}
    flags = {name: {"shape": [], "dtype": "bool"} for name in ("terminated", "truncated", "ended")}
    image = {"observation": {"image": {"shape": [84, 84, 4], "dtype": "uint8"}}}
    buffer = ReplayBuffer(1_000_000, 1, image | numbers | flags, frame_stack=4)
    assert buffer.fields["observation.image"]["shape"] == [84, 84, 4]
    assert 84 * 84 * 1_000_000 < buffer.nbytes <= 1.1 * 84 * 84 * 1_000_000


def test_replay_buffer_without_stacks_is_a_ring_buffer() -> None:
    user = DataUser(ReplayBuffer(8, 1, {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}, frame_stack=4))
    user.collector.collect({"observation.vector": np.ones((1, 3), np.float32)})
    user.update()
    assert user.sample(2, torch.Generator())["observation.vector"].shape == (2, 3)


@pytest.mark.parametrize(
    ("fields", "frame_stack", "message"),
    [
        (FIELDS, 4, "6 channels, which is no multiple of frame_stack 4"),
        ({"observation": FIELDS["observation"]}, 3, "need the field 'ended'"),
        (FIELDS, 0, "frame_stack must be at least 1"),
    ],
)
def test_replay_buffer_refuses_invalid_fields_or_frame_stack(
    fields: dict[str, object], frame_stack: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ReplayBuffer(8, 1, fields, frame_stack=frame_stack)
