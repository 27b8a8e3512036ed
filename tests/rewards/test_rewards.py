"""Each reward follows its formula, and is zero for invalid transitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pamiq_exp.models import (
    Encoder,
    ImageVae,
    InverseDynamics,
    Pixels,
    PlainFeatures,
    RandomFeatures,
    RecurrentDynamics,
    ResidualDynamics,
)
from pamiq_exp.models.cores import Gru, RecurrentCore
from pamiq_exp.rewards import (
    DiscountedStd,
    Extrinsic,
    InverseFeatureError,
    PredictionError,
    RandomFeatureError,
    ReconstructionError,
    Reward,
    Transition,
    WeightedSum,
)
from pamiq_exp.spaces import ActionSpec
from tests.rewards.parts import Published

ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [3]}
NUM_ENVS, FEATURES = 4, 5
VECTOR = {"vector": {"shape": [6], "dtype": "float32"}}


def transition(seed: int = 0, valid: list[bool] | None = None, paid: float = 0.0) -> Transition:
    generator = torch.Generator().manual_seed(seed)
    return Transition(
        observation={},
        latent=torch.randn(NUM_ENVS, FEATURES, generator=generator),
        action=torch.randint(0, 3, (NUM_ENVS, 1), generator=generator),
        next_latent=torch.randn(NUM_ENVS, FEATURES, generator=generator),
        environment_reward=np.full(NUM_ENVS, paid, dtype=np.float32),
        valid=np.array(valid or [True] * NUM_ENVS),
    )


def without_latents(step: Transition) -> Transition:
    return Transition(step.observation, None, step.action, None, step.environment_reward, step.valid)


@torch.no_grad()
def test_prediction_error_is_the_mean_squared_error_of_the_prediction() -> None:
    network = ResidualDynamics(FEATURES, ACTION, width=8)
    reward = PredictionError()
    reward.attach({"dynamics": Published(network)})
    step = transition()
    values = reward(step)
    assert values.shape == (NUM_ENVS,)
    assert step.latent is not None
    assert step.next_latent is not None
    for env in range(NUM_ENVS):
        prediction, _ = network(step.latent[env : env + 1], step.action[env : env + 1], torch.zeros(1, 0))
        expected = np.mean((step.next_latent[env].double().numpy() - prediction[0].double().numpy()) ** 2)
        assert values[env] == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_prediction_error_keeps_the_dynamics_state_until_the_episode_ends() -> None:
    network = RecurrentDynamics(FEATURES, ACTION, RecurrentCore(Gru, 6, depth=1))
    reward, fresh = PredictionError(), PredictionError()
    for each in (reward, fresh):
        each.attach({"dynamics": Published(network)})
    reward(transition(0))
    reward(transition(1, valid=[True, False, True, True]))
    old, new = reward(transition(2)), fresh(transition(2))
    assert old[1] == new[1]
    assert (old[[0, 2, 3]] != new[[0, 2, 3]]).all()


def test_prediction_error_without_latents_is_zero_and_reports_nothing() -> None:
    reward = PredictionError(DiscountedStd(NUM_ENVS))
    reward.attach({"dynamics": Published(ResidualDynamics(FEATURES, ACTION))})
    assert not reward(without_latents(transition())).any()
    assert reward.report() == {}


def test_extrinsic_is_zero_and_not_counted_for_invalid_transitions() -> None:
    reward = Extrinsic()
    np.testing.assert_array_equal(reward(transition(valid=[True, False, True, False], paid=2.0)), [2, 0, 2, 0])
    assert reward.report() == {"extrinsic_raw": 2.0, "extrinsic": 2.0}
    assert reward.report() == {}


def test_extrinsic_reports_raw_and_normalized_means() -> None:
    reward = Extrinsic(DiscountedStd(NUM_ENVS, warmup=1, clip=0.25))
    for step in range(10):
        reward(transition(paid=float(step)))
    metrics = reward.report()
    assert metrics["extrinsic_raw"] == pytest.approx(4.5)
    assert 0 < metrics["extrinsic"] <= 0.25


def test_weighted_sum_adds_its_parts_and_reports_each() -> None:
    reward = WeightedSum({"world": Extrinsic(), "again": Extrinsic()}, {"world": 2.0, "again": -0.5})
    np.testing.assert_allclose(reward(transition(paid=1.0, valid=[True, True, True, False])), [1.5, 1.5, 1.5, 0])
    metrics = reward.report()
    assert metrics["world"] == metrics["again_raw"] == 1.0
    assert metrics["weighted_sum"] == 1.5


def test_weighted_sum_uses_other_parts_when_one_gives_no_reward() -> None:
    curious = PredictionError()
    reward = WeightedSum({"curious": curious, "world": Extrinsic()}, {"curious": 1.0, "world": 1.0})
    reward.attach({"dynamics": Published(ResidualDynamics(FEATURES, ACTION))})
    np.testing.assert_array_equal(reward(without_latents(transition(paid=3.0))), [3.0] * NUM_ENVS)
    assert "curious" not in reward.report()


def test_weighted_sum_refuses_weights_that_match_no_part() -> None:
    with pytest.raises(ValueError, match="curios"):
        WeightedSum({"curious": Extrinsic()}, {"curios": 1.0})


@torch.no_grad()
def test_reconstruction_error_is_the_mean_squared_error_of_the_decoded_image() -> None:
    vae = ImageVae({"image": {"shape": [36, 36, 3], "dtype": "uint8"}}, features=4)
    reward = ReconstructionError()
    reward.attach({"encoder": Published(vae)})
    fields = {"observation.image": torch.randint(0, 256, (NUM_ENVS, 36, 36, 3), dtype=torch.uint8)}
    latent = vae.encode(fields)
    step = Transition(
        fields, latent, torch.zeros(NUM_ENVS, 1), latent, np.zeros(NUM_ENVS, np.float32), np.ones(NUM_ENVS, np.bool_)
    )
    decoded = vae.decode(latent)
    expected = (decoded - fields["observation.image"] / 255).square().mean((1, 2, 3))
    np.testing.assert_allclose(reward(step), expected, rtol=1e-5)


@pytest.mark.parametrize(("reward", "name"), [(PredictionError(), "dynamics"), (ReconstructionError(), "encoder")])
def test_rewards_refuse_a_missing_or_unsuitable_model(reward: Reward, name: str) -> None:
    with pytest.raises(RuntimeError, match="attach"):
        reward(transition())
    with pytest.raises(KeyError, match=name):
        reward.attach({})
    reward.attach({name: Published(RandomFeatures({"vector": {"shape": [2], "dtype": "float32"}}))})
    with pytest.raises(TypeError, match="RandomFeatures"):
        reward(transition())


def test_reward_of_the_wrong_shape_is_refused() -> None:
    class Scalar(Reward):
        name = "scalar"

        def compute(self, transition: Transition) -> np.ndarray:
            return np.zeros((NUM_ENVS, 1), dtype=np.float32)

    with pytest.raises(ValueError, match="one per environment"):
        Scalar()(transition())


@pytest.mark.parametrize(
    ("reward", "encoder", "choice"),
    [
        (InverseFeatureError(), RandomFeatures(VECTOR, 8), "encoder=icm"),
        (RandomFeatureError(), PlainFeatures(VECTOR), "encoder=random_features"),
        (RandomFeatureError(), Pixels(VECTOR, 6), "encoder=random_features"),
    ],
)
def test_rewards_that_need_a_certain_encoder_refuse_others(reward: Reward, encoder: Encoder, choice: str) -> None:
    dynamics = ResidualDynamics(encoder.features, ACTION, 8, 1)
    with pytest.raises(ValueError, match=rf"reward={reward.name} .* {type(encoder).__name__}: choose {choice} .*or"):
        reward.attach({"dynamics": Published(dynamics), "encoder": Published(encoder)})
    PredictionError().attach({"dynamics": Published(dynamics), "encoder": Published(encoder)})


def test_rewards_that_need_a_certain_encoder_accept_it() -> None:
    dynamics = Published(ResidualDynamics(8, ACTION, 8, 1))
    InverseFeatureError().attach({"dynamics": dynamics, "encoder": Published(InverseDynamics(VECTOR, ACTION, 8))})
    RandomFeatureError().attach({"dynamics": dynamics, "encoder": Published(RandomFeatures(VECTOR, 8))})
