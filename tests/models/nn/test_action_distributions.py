"""Distributions over actions agree with independent computations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.models import ActionEmbedding, ActionEncoding, DiagonalGaussian, MultiCategorical, make_action_head
from pamiq_exp.models.nn.action_distributions import CategoricalHead
from pamiq_exp.seeding import torch_generator
from pamiq_exp.spaces import ActionSpec

NVEC = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def discrete(nvec: list[int]) -> ActionSpec:
    return {"kind": "multi_discrete", "shape": [len(nvec)], "dtype": "int64", "nvec": nvec}


BOX: ActionSpec = {"kind": "box", "shape": [3], "dtype": "float32", "low": [-1.0] * 3, "high": [1.0] * 3}


def random_categorical(nvec: list[int], seed: int, leading: tuple[int, ...] = ()) -> MultiCategorical:
    generator = torch_generator(seed)
    allowed = torch.arange(max(nvec)) < torch.tensor(nvec)[:, None]
    logits = 3 * torch.randn(*leading, len(nvec), max(nvec), generator=generator, dtype=torch.float64)
    return MultiCategorical(logits, allowed)


@given(NVEC, st.integers(0, 1000))
def test_multi_categorical_joint_probabilities_sum_to_one(nvec: list[int], seed: int) -> None:
    actions = torch.tensor(list(itertools.product(*(range(n) for n in nvec))))
    distribution = random_categorical(nvec, seed)
    everywhere = MultiCategorical(
        distribution.log_probs.expand(len(actions), -1, -1), torch.arange(max(nvec)) < torch.tensor(nvec)[:, None]
    )
    probabilities = everywhere.log_prob(actions).exp()
    assert probabilities.shape == (len(actions),)
    assert probabilities.sum().item() == pytest.approx(1)
    entropy = -(probabilities * probabilities.log()).nansum()
    assert distribution.entropy().item() == pytest.approx(entropy.item(), abs=1e-9)


@given(NVEC, st.integers(0, 1000))
def test_multi_categorical_branches_match_torch_categorical(nvec: list[int], seed: int) -> None:
    distribution = random_categorical(nvec, seed, (5,))
    action = distribution.sample(torch_generator(seed))
    for branch, choices in enumerate(nvec):
        reference = torch.distributions.Categorical(logits=distribution.log_probs[:, branch, :choices])
        torch.testing.assert_close(
            distribution.branch_log_prob(action)[:, branch], reference.log_prob(action[:, branch])
        )
        torch.testing.assert_close(distribution.branch_entropy()[:, branch], reference.entropy())


def test_multi_categorical_samples_follow_the_probabilities() -> None:
    nvec = [3, 1, 2]
    distribution = random_categorical(nvec, seed=3)
    many = MultiCategorical(
        distribution.log_probs.expand(20_000, -1, -1), torch.arange(3) < torch.tensor(nvec)[:, None]
    )
    actions = many.sample(torch_generator(0))
    assert actions.dtype == torch.int64
    for branch, choices in enumerate(nvec):
        frequencies = torch.bincount(actions[:, branch], minlength=choices) / len(actions)
        assert len(frequencies) == choices
        expected = distribution.log_probs[branch, :choices].exp()
        assert (frequencies - expected).abs().max() < 0.02


def test_multi_categorical_gradients_are_finite_and_zero_for_padding() -> None:
    logits = torch.randn(4, 2, 3, requires_grad=True)
    distribution = MultiCategorical(logits, torch.tensor([[True, True, True], [True, False, False]]))
    (distribution.entropy().sum() + distribution.log_prob(torch.zeros(4, 2, dtype=torch.int64)).sum()).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad[:, 1, 1:] == 0).all()
    assert (distribution.branch_entropy()[:, 1] == 0).all()


def test_diagonal_gaussian_matches_torch_normal() -> None:
    mean, log_std = torch.randn(6, 3), torch.randn(3)
    distribution = DiagonalGaussian(mean, log_std)
    reference = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1)
    action = distribution.sample(torch_generator(1))
    torch.testing.assert_close(distribution.log_prob(action), reference.log_prob(action))
    torch.testing.assert_close(distribution.entropy(), reference.entropy())
    many = DiagonalGaussian(mean[0].expand(20_000, 3), log_std).sample(torch_generator(2))
    torch.testing.assert_close(many.mean(0), mean[0], atol=0.05, rtol=0.05)
    torch.testing.assert_close(many.std(0), log_std.exp(), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("action", [discrete([4]), discrete([3, 3, 3, 1, 1]), BOX])
def test_make_action_head_and_action_encoding_fit_every_action_space(action: ActionSpec) -> None:
    distribution = make_action_head(8, action)(torch.randn(5, 8))
    sample = distribution.sample(torch_generator(0))
    assert sample.shape == distribution.mode().shape == (5, *action["shape"])
    assert distribution.log_prob(sample).shape == distribution.entropy().shape == (5,)
    encoding = ActionEncoding(action)
    assert encoding(sample).shape == (5, encoding.width)


def test_categorical_head_is_nearly_uniform_before_training() -> None:
    nvec = [3, 2]
    entropy = CategoricalHead(16, nvec)(torch.randn(4, 16)).branch_entropy()
    torch.testing.assert_close(entropy, torch.tensor(nvec).log().expand(4, 2), atol=0.01, rtol=0)


def test_action_encoding_is_one_hot_for_each_branch() -> None:
    encoded = ActionEncoding(discrete([3, 2]))(torch.tensor([[2, 0], [0, 1]]))
    np.testing.assert_array_equal(encoded.numpy(), [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1]])


def test_action_distributions_refuse_actions_of_another_shape() -> None:
    distribution = random_categorical([3, 2], 0, (4,))
    with pytest.raises(ValueError, match="expected"):
        distribution.log_prob(torch.zeros(4, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match="expected"):
        DiagonalGaussian(torch.zeros(4, 2), torch.zeros(2)).log_prob(torch.zeros(4, 1))


INF, BIG = float("inf"), float(np.finfo(np.float32).max)
BOUNDS = [
    ([-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]),
    ([0.0, -2.0], [1000.0, 2.0], [500.0, 0.0], [500.0, 2.0]),
    ([10.0, -4.0], [20.0, -2.0], [15.0, -3.0], [5.0, 1.0]),
    ([-INF, 0.0], [INF, INF], [0.0, 0.0], [1.0, 1.0]),
    ([-INF, -BIG], [3.0, BIG], [0.0, 0.0], [1.0, 1.0]),
    ([-1e10, 5.0], [1e10, 5.0], [0.0, 0.0], [1.0, 1.0]),
]


@pytest.mark.parametrize(("low", "high", "middle", "reach"), BOUNDS)
def test_make_action_head_acts_in_the_scale_of_the_declared_bounds(
    low: list[float], high: list[float], middle: list[float], reach: list[float]
) -> None:
    spec: ActionSpec = {"kind": "box", "shape": [2], "dtype": "float32", "low": low, "high": high}
    head = make_action_head(4, spec)
    distribution = head(torch.zeros(20_000, 4))
    torch.testing.assert_close(distribution.mode()[0], torch.tensor(middle))
    actions = distribution.sample(torch_generator(0))
    torch.testing.assert_close(actions.std(0), torch.tensor(reach), rtol=0.03, atol=0)
    reference = torch.distributions.Normal(torch.tensor(middle), torch.tensor(reach))
    torch.testing.assert_close(distribution.branch_log_prob(actions), reference.log_prob(actions))
    torch.testing.assert_close(distribution.branch_entropy()[0], reference.entropy())
    ends = torch.tensor(middle) + torch.tensor([[-1.0], [1.0]]) * torch.tensor(reach)
    for network in (ActionEncoding(spec), ActionEmbedding(spec)):
        torch.testing.assert_close(network(ends), torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))


def test_make_action_head_scales_nothing_for_bounds_of_minus_1_and_1() -> None:
    head = make_action_head(4, BOX)
    features = torch.randn(5, 4)
    distribution = head(features)
    assert isinstance(distribution, DiagonalGaussian)
    assert torch.equal(distribution.mean, head.mean(features))
    assert torch.equal(distribution.log_std[0], head.log_std)
    action = torch.randn(5, 3)
    assert torch.equal(ActionEncoding(BOX)(action), action)
    assert not head.state_dict().keys() - {"mean.weight", "mean.bias", "log_std"}, (
        "checkpoints of earlier versions still load"
    )
