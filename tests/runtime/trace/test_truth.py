"""Of the ground truth, a trace keeps what was read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.environments.noise_world.truth import GroundTruth
from pamiq_exp.runtime.trace.blocks import TraceError
from pamiq_exp.runtime.trace.truth import NotedTruth, ReadTruth, ReplayedTruth, truth_columns, truths_of

NAMES = ("pose", "depth", "room")


def test_noted_truth_computes_and_keeps_what_is_read_only() -> None:
    computed: list[str] = []

    def source(name: str) -> np.ndarray:
        computed.append(name)
        return np.arange(3)

    truth = GroundTruth({name: lambda name=name: source(name) for name in NAMES}, lambda: True)
    read = ReadTruth(list(truth))
    noted = NotedTruth(truth, read)
    assert "depth" in noted
    assert list(noted) == list(NAMES)
    assert computed == []
    assert noted["room"] is noted["room"]
    assert computed == list(read.values) == ["room"]


def test_noted_truth_keeps_a_copy_as_it_was_when_read() -> None:
    value = np.zeros(2)
    read = ReadTruth(["pose"])
    assert NotedTruth({"pose": value}, read)["pose"] is value
    value += 1
    np.testing.assert_array_equal(read.values["pose"], np.zeros(2))


def test_noted_truth_notes_nothing_once_its_turn_is_over() -> None:
    read = ReadTruth(["pose"])
    noted = NotedTruth({"pose": np.zeros(2)}, read)
    read.closed = True
    assert noted["pose"].shape == (2,)
    assert read.values == {}


def test_replayed_truth_refuses_what_was_not_read() -> None:
    read = ReadTruth(NAMES)
    read.values["pose"] = np.zeros(2)
    replayed = ReplayedTruth(read)
    assert set(replayed) == set(NAMES)
    np.testing.assert_array_equal(replayed["pose"], np.zeros(2))
    with pytest.raises(TraceError, match="'depth' of the ground truth, which nothing read at this turn before"):
        replayed["depth"]
    with pytest.raises(KeyError):
        replayed["colour"]


READ = st.none() | st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2))


@given(st.lists(READ, min_size=1, max_size=12))
def test_truths_of_returns_what_truth_columns_hold(turns: list[Mapping[str, int] | None]) -> None:
    truths: list[ReadTruth | None] = []
    for values in turns:
        truth = None if values is None else ReadTruth(NAMES)
        if truth is not None and values is not None:
            truth.values |= {name: np.full((2, 2), value) for name, value in values.items()}
        truths.append(truth)
    returned = truths_of(truth_columns(truths), len(truths))
    for before, after in zip(truths, returned, strict=True):
        assert (before is None) == (after is None)
        if before is not None and after is not None:
            assert set(after.names) == set(NAMES)
            assert after.values.keys() == before.values.keys()
            for name, value in before.values.items():
                np.testing.assert_array_equal(after.values[name], value)


def test_truth_columns_hold_each_value_once() -> None:
    truths: list[ReadTruth | None] = []
    for _ in range(5):
        truth = ReadTruth(["map"])
        truth.values["map"] = np.ones((3, 3))
        truths.append(truth)
    assert truth_columns(truths)["truth.map"].shape == (1, 3, 3)
