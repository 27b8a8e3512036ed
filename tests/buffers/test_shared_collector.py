"""Turns on their way to a learner in another process: whole, counted if dropped, and without waiting."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.buffers.collector import DataCollector
from pamiq_exp.buffers.shared_collector import SharedCollector
from pamiq_exp.spaces import flatten_specs

FIELDS = {"picture": {"shape": [500], "dtype": "int64"}, "reward": {"shape": [], "dtype": "float32"}}


def turn(number: int) -> dict[str, np.ndarray]:
    return {"picture": np.full((1, 500), number), "reward": np.full(1, number, np.float32)}


def collector(max_pending: int, chunk_turns: int = 4) -> SharedCollector:
    return SharedCollector(1, flatten_specs(FIELDS), max_pending, chunk_turns)


def numbers(fetched: DataCollector) -> list[int]:
    """Fetch all turns and return what is in them."""
    chunks = fetched.take()
    found = [int(value) for chunk in chunks for value in chunk.filled()["reward"][:, 0]]
    firsts = [number for chunk in chunks for number in range(chunk.first_turn, chunk.first_turn + chunk.count)]
    assert found == firsts
    fetched.recycle(chunks)
    return found


@pytest.mark.parametrize("counts", [(1, 1, 2), (4, 4), (3, 2, 9), (31,)])
def test_shared_collector_keeps_and_drops_the_same_turns_as_data_collector(counts: tuple[int, ...]) -> None:
    shared, plain = collector(8), DataCollector(1, flatten_specs(FIELDS), 8, 4)
    for count in counts:
        for _ in range(count):
            shared.collect(turn(shared.turn))
            plain.collect(turn(plain.turn))
        assert (shared.pending, shared.dropped, shared.turn) == (plain.pending, plain.dropped, plain.turn)
        assert numbers(shared) == numbers(plain)


def test_shared_collector_never_waits_for_a_learner_that_has_the_lock() -> None:
    shared = collector(8)
    with shared._shared_lock:
        for _ in range(7):
            shared.collect(turn(shared.turn))
        assert shared.pending == 0
    shared.collect(turn(7))
    assert numbers(shared) == list(range(8))
    with shared._shared_lock:
        for _ in range(20):  # more than the spare slot holds
            shared.collect(turn(shared.turn))
    assert shared.dropped == 16
    shared.collect(turn(28))
    assert numbers(shared) == [*range(8, 12), 28]


def test_shared_collector_does_not_overwrite_turns_that_are_being_read() -> None:
    shared = collector(4)
    for _ in range(6):
        shared.collect(turn(shared.turn))
    chunks = shared.take()
    before = [chunk.filled()["reward"].copy() for chunk in chunks]
    for _ in range(40):
        shared.collect(turn(shared.turn))
    assert all(np.array_equal(chunk.filled()["reward"], old) for chunk, old in zip(chunks, before, strict=True))
    shared.recycle(chunks)
    rest = numbers(shared)
    assert len(rest) + 6 + shared.dropped == 46


def test_shared_collector_reuses_memory_from_the_lowest_slot() -> None:
    shared = collector(1000)
    for number in range(400):
        shared.collect(turn(number))
        numbers(shared)
    assert int(shared._columns["reward"].any(axis=(1, 2)).sum()) <= 3


def test_shared_collector_delivers_whole_turns_in_order_to_another_process() -> None:
    user = DataUser(RingBuffer(300, 1, FIELDS), shared=True)
    context = multiprocessing.get_context("fork")
    done, (ours, theirs) = context.Event(), context.Pipe(duplex=False)

    def learn() -> None:
        seen = torn = 0
        last = -1
        while True:
            ended = done.is_set()
            chunks = user.collector.take()
            for chunk in chunks:
                rows = chunk.filled()
                values = rows["picture"].reshape(chunk.count, -1)
                torn += int((values != rows["reward"]).any())
                torn += int((values[:, 0] != np.arange(chunk.first_turn, chunk.first_turn + chunk.count)).any())
                torn += int(values[0, 0] <= last)
                last = int(values[-1, 0])
                seen += chunk.count
            user.collector.recycle(chunks)
            if ended:
                theirs.send((seen, torn))
                return

    process = context.Process(target=learn)
    process.start()
    for number in range(5000):
        user.collector.collect(turn(number))
    user.collector.flush()
    done.set()
    seen, torn = ours.recv()
    process.join()
    assert torn == 0
    assert seen + user.collector.dropped == 5000
