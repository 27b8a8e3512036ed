"""Oracles read the ground truth, and no other reward does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pamiq_exp import rewards
from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.models import DynamicsNetwork
from pamiq_exp.rewards import CountOracle, Extrinsic, MaskOracle, Reward, WeightedSum
from tests.rewards.parts import Published, transition


def counted(oracle: Reward, poses: list[list[float]], valid: list[bool] | None = None) -> np.ndarray:
    pose = np.array(poses)
    oracle.attach_oracle(lambda: {"pose": pose})
    empty = torch.zeros(len(poses), 1)
    return oracle(transition(empty, empty, valid=valid))


def test_count_oracle_reward_is_inverse_root_of_the_visit_count() -> None:
    oracle = CountOracle(cell=0.25)
    inside = [[1.01, 2.02, 0.0], [1.24, 2.24, 3.0], [1.1, 2.1, 1.0]]
    worth = [float(counted(oracle, [place])[0]) for place in inside]
    np.testing.assert_allclose(worth, [1, 1 / np.sqrt(2), 1 / np.sqrt(3)])
    assert counted(oracle, [[1.26, 2.02, 0.0]]) == 1


def test_count_oracle_shares_counts_and_skips_invalid_transitions() -> None:
    oracle = CountOracle()
    np.testing.assert_allclose(counted(oracle, [[0, 0, 0], [0, 0, 0]]), [1 / np.sqrt(2)] * 2)
    np.testing.assert_allclose(counted(oracle, [[0, 0, 0], [5, 5, 0]], [False, True]), [0, 1])
    np.testing.assert_allclose(counted(oracle, [[0, 0, 0], [5, 5, 0]]), [1 / np.sqrt(3), 1 / np.sqrt(2)])


def test_count_oracle_counts_headings_separately() -> None:
    oracle = CountOracle(headings=8)
    assert counted(oracle, [[0, 0, 0.1]]) == counted(oracle, [[0, 0, 0.1 + np.pi / 4]]) == 1


def test_count_oracle_restores_its_counts() -> None:
    first, second = CountOracle(), CountOracle()
    for _ in range(300):
        counted(first, [[0, 0, 0]])
    restore_state(second, collect_state(first))
    assert counted(second, [[0, 0, 0]])[0] == pytest.approx(1 / np.sqrt(301))


class Standstill(DynamicsNetwork):
    def __init__(self) -> None:
        super().__init__(12)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return latent, state


def masked(mask: Any, before: Tensor, now: Tensor) -> np.ndarray:
    oracle = MaskOracle()
    oracle.attach({"dynamics": Published(Standstill())})
    oracle.attach_oracle(lambda: {"noise_mask": np.array(mask, dtype=np.bool_)})
    with torch.no_grad():
        return oracle(transition(before, now))


def test_mask_oracle_is_the_prediction_error_over_pixels_without_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    before, now = torch.rand(2, 12, generator=generator), torch.rand(2, 12, generator=generator)
    squares = (now - before).square().view(2, 2, 2, 3).mean(-1).numpy()  # 2 x 2 pixels of 3 colors
    mask = [[[False, True], [True, True]], [[False, False], [True, False]]]
    expected = [squares[0, 0, 0], (squares[1, 0].sum() + squares[1, 1, 1]) / 3]
    np.testing.assert_allclose(masked(mask, before, now), expected, rtol=1e-5)
    assert not masked(np.ones((2, 2, 2)), before, now).any()
    np.testing.assert_allclose(masked(np.zeros((2, 2, 2)), before, now), squares.mean((1, 2)), rtol=1e-5)


def test_mask_oracle_refuses_a_mask_of_the_wrong_shape() -> None:
    with pytest.raises(TypeError, match="pixels"):
        masked(np.zeros((1, 5, 1)), torch.zeros(1, 12), torch.zeros(1, 12))


@pytest.mark.parametrize("oracle", [CountOracle(), MaskOracle()])
def test_oracles_raise_an_error_without_ground_truth(oracle: Reward) -> None:
    with pytest.raises(RuntimeError, match="ground truth"):
        oracle(transition(torch.zeros(1, 1), torch.zeros(1, 1)))


def test_weighted_sum_passes_the_ground_truth_to_its_parts() -> None:
    both = WeightedSum({"count_oracle": CountOracle(), "world": Extrinsic()}, {"count_oracle": 1.0, "world": 1.0})
    assert counted(both, [[0, 0, 0]]) == 1


def test_rewards_other_than_oracles_take_no_ground_truth() -> None:
    kinds = [kind for name in rewards.__all__ if isinstance(kind := getattr(rewards, name), type)]
    takers = {
        kind.__name__ for kind in kinds if issubclass(kind, Reward) and kind.attach_oracle is not Reward.attach_oracle
    }
    assert takers == {"CountOracle", "MaskOracle", "WeightedSum"}
