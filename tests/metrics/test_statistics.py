from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.metrics.statistics import BlockSums, Window


@given(turns=st.integers(1, 300), share=st.floats(0.05, 1.0), pieces=st.integers(1, 40))
def test_block_sums_keep_the_newest_share_to_within_a_block(turns: int, share: float, pieces: int) -> None:
    sums = BlockSums(turns, blocks=20)
    for some in np.array_split(np.arange(turns)[:, None], pieces):
        sums.add(some)
    kept = np.flatnonzero(sums.newest(share))
    assert kept[-1] == turns - 1
    assert (np.diff(kept) == 1).all(), "the newest turns without a gap"
    wanted = math.ceil(share * turns)
    assert wanted <= kept.size <= wanted + math.ceil(turns / 10)
    assert sums.newest().sum() == turns


def test_block_sums_add_repeated_indices_and_ignore_negative_ones() -> None:
    sums = BlockSums(3)
    sums.add(np.array([[1, 1, 2], [-1, -1, -1]]))
    sums.add_all(np.array([[5, 0, 0], [1, 0, 0]]))
    assert sums.newest().tolist() == [6, 2, 1]
    assert sums.turns == 4


@given(before=st.integers(1, 90), after=st.integers(1, 60))
def test_block_sums_continue_identically_after_a_restore(before: int, after: int) -> None:
    whole, first, second = BlockSums(5, blocks=8), BlockSums(5, blocks=8), BlockSums(0, blocks=8)
    for sums in (whole, first):
        sums.add(np.arange(before)[:, None] % 5)
    restore_state(second, collect_state(first))
    for turn in range(after):
        whole.add(np.array([[turn % 3]]))
    second.add(np.arange(after)[:, None] % 3)
    assert np.array_equal(whole.newest(0.3), second.newest(0.3))


def test_window_is_returned_when_the_next_rows_do_not_fit() -> None:
    window = Window(5, 2)
    assert window.add(np.array([1, 2]), np.array([5, 6])) is None
    assert window.add(np.array([3, 4]), np.array([7, 8])) is None
    full = window.add(np.array([9, 9]), np.array([9, 9]))
    assert full is not None
    assert full.tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]]
    assert window.rest().tolist() == [[9, 9], [9, 9]]


def test_window_refuses_a_size_below_two() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        Window(1, 2)
