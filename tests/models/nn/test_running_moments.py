"""Running statistics do not depend on how the numbers arrive."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.models import RunningMoments

FLOATS = st.floats(-1e3, 1e3, allow_nan=False)


@given(st.lists(st.lists(FLOATS, min_size=1, max_size=6), min_size=1, max_size=6))
def test_running_moments_do_not_depend_on_the_split_into_batches(batches: list[list[float]]) -> None:
    moments = RunningMoments()
    for batch in batches:
        moments.update(torch.tensor(batch, dtype=torch.float64))
    whole = np.concatenate([np.array(batch) for batch in batches])
    np.testing.assert_allclose(moments.mean, whole.mean(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moments.variance, whole.var(), rtol=1e-9, atol=1e-6)
    assert moments.count == len(whole)


def test_running_moments_whiten_to_mean_0_and_variance_1() -> None:
    values = torch.randn(500, 3) * torch.tensor([0.1, 5.0, 100.0]) + torch.tensor([1e4, 0.0, -3.0])
    moments = RunningMoments(3)
    moments.update(values)
    white = moments.whiten(values)
    assert white.dtype == torch.float32
    torch.testing.assert_close(white.mean(0), torch.zeros(3), atol=2e-2, rtol=0)
    torch.testing.assert_close(white.std(0, correction=0), torch.ones(3), atol=2e-2, rtol=0)


def test_running_moments_whiten_a_constant_to_zero() -> None:
    moments = RunningMoments(1)
    moments.update(torch.full((10, 1), 3.0))
    assert moments.whiten(torch.full((2, 1), 3.0)).abs().max() < 1e-3
