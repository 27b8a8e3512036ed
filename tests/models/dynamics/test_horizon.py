"""Weights of the losses of predictions several steps ahead."""

from __future__ import annotations

from typing import Any, get_args

import hypothesis.strategies as st
import pytest
from hypothesis import given

from pamiq_exp.models.dynamics import HorizonDecay, horizon_weights


@given(horizon=st.integers(1, 60), decay=st.sampled_from(get_args(HorizonDecay)))
def test_horizon_weights_sum_to_one_and_never_increase(horizon: int, decay: HorizonDecay) -> None:
    weights = horizon_weights(horizon, decay)
    assert len(weights) == horizon
    assert sum(weights) == pytest.approx(1)
    assert list(weights) == sorted(weights, reverse=True)


def test_horizon_weights_of_three_steps_match_known_values() -> None:
    assert horizon_weights(3) == pytest.approx((0.448, 0.321, 0.230), abs=1e-3)
    assert horizon_weights(3, "geometric") == pytest.approx((9 / 19, 6 / 19, 4 / 19))
    assert horizon_weights(3, "uniform") == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert horizon_weights(1, "geometric") == (1.0,)


@pytest.mark.parametrize(("arguments", "message"), [((0,), "at least 1"), ((3, "linear"), "exponential, geometric")])
def test_horizon_weights_refuse_invalid_arguments(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        horizon_weights(*arguments)
