from __future__ import annotations

import numpy as np
import pytest
import torch

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.rewards import HashCount
from pamiq_exp.rewards.hash_codes import HashCodes
from tests.rewards.parts import transition

AXES = torch.eye(4)


def view(*axes: int) -> torch.Tensor:
    """Latent vectors along axes, one for each environment."""
    return AXES[list(axes)] * 3.0


def test_hash_count_reward_is_inverse_root_of_count_over_all_environments() -> None:
    reward = HashCount(seed=0, bits=32)
    seen = [reward(transition(view(*now), view(*now))) for now in ((0, 1), (0, 0), (2, 1))]
    np.testing.assert_allclose(seen[0], [1, 1])
    np.testing.assert_allclose(seen[1], [1 / np.sqrt(3), 1 / np.sqrt(3)], rtol=1e-6)  # both are counted, then paid
    np.testing.assert_allclose(seen[2], [1, 1 / np.sqrt(2)], rtol=1e-6)


def test_hash_count_neither_counts_nor_rewards_invalid_transitions() -> None:
    reward = HashCount(seed=0, bits=32)
    np.testing.assert_array_equal(reward(transition(view(0), view(0), valid=[False])), [0])
    np.testing.assert_array_equal(reward(transition(view(0), view(0))), [1])


def test_hash_count_restores_its_counts() -> None:
    first, second = HashCount(seed=0, bits=60), HashCount(seed=0, bits=60)
    first(transition(view(0, 1), view(0, 1)))
    restore_state(second, collect_state(first))
    step = transition(view(0, 2), view(0, 2))
    np.testing.assert_array_equal(second(step), first(step))


def test_hash_codes_share_of_different_bits_is_the_angle_between_vectors() -> None:
    codes = HashCodes(62, 62, seed=1)
    pairs = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    bits = [
        bin(each[0].item() ^ each[1].item()).count("1") for each in (HashCodes(62, 62, s)(pairs) for s in range(40))
    ]
    assert np.mean(bits) / 62 == pytest.approx(0.25, abs=0.03)  # 45 of 180 degrees
    assert codes(2 * pairs).tolist() == codes(pairs).tolist()  # length does not matter


def test_hash_count_refuses_bits_outside_1_to_62() -> None:
    for bits in (0, 63):
        with pytest.raises(ValueError, match=f"bits must be from 1 to 62, not {bits}"):
            HashCount(seed=0, bits=bits)
