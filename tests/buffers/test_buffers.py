"""Buffers keep the right turns, and sample only what belongs together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.buffers import DataUser, RingBuffer, RolloutBuffer, buffer_bytes

FIELDS = {"observation": {"image": {"shape": [2], "dtype": "int64"}}, "reward": {"shape": [], "dtype": "float32"}}


def record(turn: int, num_envs: int) -> dict[str, np.ndarray]:
    """A transition in which every number encodes its turn and environment."""
    code = turn * 100 + np.arange(num_envs)
    return {"observation.image": np.stack([code, code], axis=1), "reward": code.astype(np.float32)}


def filled(user: DataUser, turns: int, first: int = 0) -> DataUser:
    for turn in range(first, first + turns):
        user.collector.collect(record(turn, user.buffer.num_envs))
    user.update()
    return user


def test_ring_buffer_flattens_nested_fields_to_dotted_names() -> None:
    assert set(RingBuffer(4, 1, FIELDS).fields) == {"observation.image", "reward"}


@given(
    capacity=st.integers(1, 30),
    num_envs=st.integers(1, 3),
    pieces=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    shared=st.booleans(),
)
def test_ring_buffer_keeps_the_newest_turns_in_order(
    capacity: int, num_envs: int, pieces: list[int], shared: bool
) -> None:
    user = DataUser(RingBuffer(capacity, num_envs, FIELDS), shared)
    turn = 0
    for piece in pieces:
        filled(user, piece, first=turn)
        turn += piece
    held = min(turn, capacity)
    assert len(user) == held
    assert user.count_added == turn * num_envs - user.dropped
    if held:
        latest = user.latest(held)["reward"]
        expected = torch.arange(turn - held, turn)[:, None] * 100.0 + torch.arange(num_envs)
        assert torch.equal(latest, expected)


def test_ring_buffer_samples_every_transition_equally_often() -> None:
    user = filled(DataUser(RingBuffer(5, 2, FIELDS)), 12)
    draws = user.sample(20_000, torch.Generator().manual_seed(0))["reward"]
    values, counts = draws.unique(return_counts=True)
    assert values.tolist() == [turn * 100 + env for turn in range(7, 12) for env in range(2)]
    expected = 20_000 / 10
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_ring_buffer_sequences_are_consecutive_and_start_equally_often() -> None:
    user = filled(DataUser(RingBuffer(16, 3, FIELDS)), 41)
    batch = user.sequences(30_000, 4, torch.Generator().manual_seed(0))
    codes = batch["reward"].long()
    assert (codes.diff(dim=1) == 100).all()
    assert torch.equal(batch["observation.image"][..., 0], codes)
    starts, counts = codes[:, 0].unique(return_counts=True)
    assert starts.tolist() == [turn * 100 + env for turn in range(25, 38) for env in range(3)]
    expected = 30_000 / len(starts)
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_ring_buffer_sequences_never_cross_a_gap() -> None:
    user = filled(DataUser(RingBuffer(32, 1, FIELDS)), 10)
    user.collector.turn += 5
    filled(user, 10, first=15)
    codes = user.sequences(5_000, 4, torch.Generator().manual_seed(0))["reward"].long()
    assert (codes.diff(dim=1) == 100).all()
    assert user.holds_sequence(10)
    assert not user.holds_sequence(11)
    with pytest.raises(ValueError, match="no 11 consecutive turns"):
        user.sequences(1, 11, torch.Generator())


def test_ring_buffer_error_for_too_few_turns_suggests_learning_starts() -> None:
    user = filled(DataUser(RingBuffer(8, 1, FIELDS)), 3)
    with pytest.raises(ValueError, match="learning_starts"):
        user.sequences(1, 4, torch.Generator())
    with pytest.raises(ValueError, match="has 0 turns, but 1 are needed"):
        DataUser(RingBuffer(8, 1, FIELDS)).sample(1, torch.Generator())


def test_rollout_buffer_takes_turns_once_and_shares_only_the_bootstrap_turn() -> None:
    user = filled(DataUser(RolloutBuffer(64, 2, FIELDS)), 13)
    first, second = user.take(4), user.take(4)
    assert first["reward"][:, 0].tolist() == [0, 100, 200, 300, 400]
    assert second["reward"][:, 0].tolist() == [400, 500, 600, 700, 800]
    assert user.available == 5
    user.take(4)
    with pytest.raises(ValueError, match="has 1 turns, but 5 are needed"):
        user.take(4)


def test_rollout_buffer_rollouts_never_contain_a_gap() -> None:
    user = filled(DataUser(RolloutBuffer(64, 1, FIELDS)), 3)
    user.collector.turn += 7
    filled(user, 6, first=10)
    assert user.available == 6
    assert user.take(4)["reward"][:, 0].tolist() == [1000, 1100, 1200, 1300, 1400]


def test_rollout_buffer_drops_its_oldest_turns_when_full() -> None:
    user = filled(DataUser(RolloutBuffer(8, 1, FIELDS)), 20)
    assert user.take(4)["reward"][0, 0] == 1200


def test_ring_buffer_refuses_to_take_rollouts() -> None:
    with pytest.raises(TypeError, match="RolloutBuffer"):
        DataUser(RingBuffer(8, 1, FIELDS)).take(2)


def test_data_user_collector_copies_the_collected_arrays() -> None:
    user = DataUser(RingBuffer(8, 1, FIELDS))
    reused = record(0, 1)
    for turn in range(3):
        reused["reward"][:] = turn
        user.collector.collect(reused)
    user.update()
    assert user.latest(3)["reward"][:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": np.zeros(2)}, r"unknown \['extra'\]"),
        ({"reward": np.zeros((2, 1), np.float32)}, "reward has the shape"),
    ],
)
def test_data_user_collector_refuses_unknown_fields_and_wrong_shapes(
    change: dict[str, np.ndarray], message: str
) -> None:
    user = DataUser(RingBuffer(8, 2, FIELDS))
    with pytest.raises(ValueError, match=message):
        user.collector.collect(record(0, 2) | change)


def test_data_user_collector_names_a_missing_field() -> None:
    with pytest.raises(ValueError, match=r"missing \['reward'\]"):
        DataUser(RingBuffer(8, 1, FIELDS)).collector.collect({"observation.image": np.zeros((1, 2), np.int64)})


def test_data_user_counts_transitions_dropped_before_an_update() -> None:
    user = DataUser(RingBuffer(100, 2, FIELDS))
    for turn in range(500):
        user.collector.collect(record(turn, 2))
    user.update()
    assert user.dropped > 0
    assert user.dropped + user.count_added == 500 * 2
    codes = user.latest(len(user))["reward"][:, 0]
    assert codes[-1] == 49_900
    assert (codes.diff() == 100).all()


@given(before=st.integers(0, 25), after=st.integers(0, 25))
def test_ring_buffer_continues_identically_after_a_restore(before: int, after: int) -> None:
    original = filled(DataUser(RingBuffer(10, 2, FIELDS)), before)
    restored = DataUser(RingBuffer(10, 2, FIELDS))
    restored.buffer.load_state(original.buffer.state())
    restored.load_state(original.state())
    for user in (original, restored):
        filled(user, after, first=before)
    assert original.state() == restored.state()
    if before + after >= 3:
        draws = [user.sequences(50, 3, torch.Generator().manual_seed(1))["reward"] for user in (original, restored)]
        assert torch.equal(*draws)


def test_ring_buffer_refuses_a_saved_state_with_other_fields() -> None:
    saved = filled(DataUser(RingBuffer(10, 2, FIELDS)), 4).buffer.state()
    with pytest.raises(ValueError, match="saved buffer has 4 turns"):
        RingBuffer(10, 2, {"reward": FIELDS["reward"]}).load_state(saved)
    with pytest.raises(ValueError, match="has the shape"):
        RingBuffer(10, 3, FIELDS).load_state(saved)


EPISODES = {"code": {"shape": [], "dtype": "int64"}, "ended": {"shape": [], "dtype": "bool"}}


def with_episodes(ends: dict[int, list[int]], turns: int, num_envs: int, capacity: int = 40) -> DataUser:
    """A buffer of turns in which environment i ends an episode at the turns `ends[i]`."""
    user = DataUser(RingBuffer(capacity, num_envs, EPISODES, within_episodes=True))
    for turn in range(turns):
        ended = np.array([turn in ends.get(env, []) for env in range(num_envs)])
        user.collector.collect({"code": turn * 100 + np.arange(num_envs), "ended": ended})
    user.update()
    return user


def test_ring_buffer_sequences_within_episodes_never_cross_an_episode_end() -> None:
    user = with_episodes({0: [30, 41], 1: [35], 2: []}, turns=60, num_envs=3)
    batch = user.sequences(30_000, 5, torch.Generator().manual_seed(0))
    assert (batch["code"].diff(dim=1) == 100).all()
    assert not batch["ended"][:, :-1].any(), "only the last turn of a sequence may be the last of its episode"
    starts, counts = batch["code"][:, 0].unique(return_counts=True)
    ends = {0: [30, 41], 1: [35], 2: []}
    possible = [
        turn * 100 + env
        for turn in range(20, 56)
        for env in range(3)
        if not any(turn <= end < turn + 4 for end in ends[env])
    ]
    assert starts.tolist() == sorted(possible)
    expected = 30_000 / len(possible)
    assert (counts - expected).abs().max() < 5 * expected**0.5


def test_ring_buffer_episodes_that_are_too_short_hold_no_sequence() -> None:
    user = with_episodes({0: [2, 5, 8]}, turns=10, num_envs=1)
    assert user.holds_sequence(3)
    assert not user.holds_sequence(4)
    with pytest.raises(ValueError, match="no 4 turns of one episode"):
        user.sequences(1, 4, torch.Generator())


def test_ring_buffer_within_episodes_needs_the_field_ended() -> None:
    with pytest.raises(ValueError, match="'ended'"):
        RingBuffer(4, 1, FIELDS, within_episodes=True)


def test_buffer_bytes_matches_the_size_of_a_buffer() -> None:
    fields = {"observation": {"image": {"shape": [64, 64, 3], "dtype": "uint8"}}, "reward": FIELDS["reward"]}
    assert buffer_bytes(2048, 4, fields) == 2048 * 4 * (64 * 64 * 3 + 4)
    assert RingBuffer(10, 4, fields).nbytes == buffer_bytes(10, 4, fields)


def test_ring_buffer_warns_of_float_images(caplog: pytest.LogCaptureFixture) -> None:
    RingBuffer(2, 1, {"image": {"shape": [32, 32, 3], "dtype": "float32"}})
    assert "uint8" in caplog.text
    caplog.clear()
    RingBuffer(2, 1, {"image": {"shape": [32, 32, 3], "dtype": "uint8"}})
    assert not caplog.text
