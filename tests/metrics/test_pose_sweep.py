"""Metrics at fixed poses of the noise world, with models whose outputs are known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import NoiseWorld, record_at_poses
from pamiq_exp.interaction import StepObserver
from pamiq_exp.metrics import ModelError, PoseProbe
from pamiq_exp.metrics.pose_sweep import held_out_squares
from tests.metrics.scripted import agent_with, watch

PIXELS = 16 * 16 * 3


class PixelEncoder(nn.Module):
    """The view itself, as 16 x 16 colors: a decoder can reconstruct it without error."""

    warmed_up = True
    frozen = False

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        image = batch["observation.image"].float() / 255.0
        return torch.nn.functional.adaptive_avg_pool2d(image.movedim(-1, 1), 16).movedim(1, -1).flatten(1)


class Constant(nn.Module):
    """A forward model that always predicts the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def initial_state(self, batch: int, device: torch.device) -> Tensor:
        return torch.zeros(batch, 0, device=device)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return torch.full_like(latent, self.value), state


@pytest.fixture(scope="module")
def poses() -> dict[str, np.ndarray]:
    world = NoiseWorld(num_envs=8, image_size=32, noise={"where": "one_room", "pool": 5}, images={"size": 16})
    return record_at_poses(world, 60, seed=3)


def test_record_at_poses_spreads_poses_over_the_world_and_is_repeatable(poses: dict[str, np.ndarray]) -> None:
    world = NoiseWorld(num_envs=8, image_size=32, noise={"where": "one_room", "pool": 5}, images={"size": 16})
    again = record_at_poses(world, 60, seed=3)
    assert all(np.array_equal(poses[name], again[name]) for name in poses)
    assert poses["observation.image"].shape == (60, 32, 32, 3)
    assert poses["action"].shape == (60, 5)
    assert len(np.unique(poses["room"])) >= 7
    assert poses["pose"][:, :2].std() > 4
    noisy = poses["noise_mask"]
    assert 0 < noisy.mean() < 0.5
    same = (poses["observation.image"] == poses["clean_observation.image"]).all(axis=-1)
    assert same[~noisy].all(), "without noise the view stays the same"
    assert (~same)[noisy].mean() > 0.9


def test_record_at_poses_is_empty_for_an_environment_without_poses() -> None:
    from pamiq_exp.environments import GymnasiumEnvironment

    assert record_at_poses(GymnasiumEnvironment("CartPole-v1"), 4, seed=0) == {}


def test_model_error_of_a_constant_prediction_matches_a_least_squares_decoder(poses: dict[str, np.ndarray]) -> None:
    metric = ModelError(poses, poses_per_turn=16, penalty=1e-12)
    agent = agent_with(encoder=PixelEncoder(), dynamics=Constant(0.5))
    script: list[Mapping[str, np.ndarray]] = [{"room": np.array([0])}] * 4
    report = watch(metric, script, agent=agent).report()
    following = poses["next_observation.image"] / 255.0
    small = following.reshape(60, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    noisy = (poses["noise_mask"] | poses["next_noise_mask"]).reshape(60, 16, 2, 16, 2).any(axis=(2, 4))
    # A decoder is fitted to half of the poses; here its error on the other half is computed independently.
    latent = torch.from_numpy(small.reshape(60, -1)).numpy()
    assert report["model_error_clean"] > report["reconstruction_error_clean"]
    scaled, mean, spread = latent[::2], latent[::2].mean(0), latent[::2].std(0)
    fit = np.linalg.lstsq((scaled - mean) / spread, scaled - mean, rcond=None)[0]
    decoded = ((0.5 - mean) / spread) @ fit + mean
    errors = ((decoded.reshape(16, 16, 3) - small[1::2]) ** 2).mean(axis=-1)
    assert report["model_error_clean"] == pytest.approx(errors[~noisy[1::2]].mean(), rel=0.02)
    assert report["model_error_noise"] == pytest.approx(errors[noisy[1::2]].mean(), rel=0.02)
    assert report["forgetting"] == 0.0
    assert 0 < report["noise_angle"] < 1


def test_pose_probe_is_near_one_for_a_latent_that_holds_the_pose(poses: dict[str, np.ndarray]) -> None:
    known = {"pose": poses["pose"], "observation.x": pose_numbers(poses)}

    class Knows(nn.Module):
        warmed_up = True
        frozen = True

        def encode(self, batch: dict[str, Tensor]) -> Tensor:
            return batch["observation.x"]

    report = watch(PoseProbe(known, seed=0), [{}] * 15, agent=agent_with(encoder=Knows())).report()
    assert report["pose_probe"] > 0.99


def pose_numbers(poses: dict[str, np.ndarray]) -> np.ndarray:
    x, y, heading = poses["pose"].T
    return np.stack([x, y, np.sin(heading), np.cos(heading)], axis=1).astype(np.float32)


def test_pose_probe_is_not_positive_for_a_constant_latent(poses: dict[str, np.ndarray]) -> None:
    class Blind(nn.Module):
        warmed_up = True
        frozen = True

        def encode(self, batch: dict[str, Tensor]) -> Tensor:
            return torch.zeros(len(batch["observation.image"]), 4)

    report = watch(PoseProbe(poses, seed=0), [{}] * 15, agent=agent_with(encoder=Blind())).report()
    assert report["pose_probe"] <= 0
    assert report["pose_probe_random"] != report["pose_probe"]


def test_held_out_squares_are_a_fifth_of_all_squares(poses: dict[str, np.ndarray]) -> None:
    held_back = held_out_squares(poses["pose"], seed=0)
    squares = np.floor(poses["pose"][:, :2])
    inside = {tuple(square) for square in squares[held_back]}
    outside = {tuple(square) for square in squares[~held_back]}
    assert not inside & outside
    assert len(inside) == pytest.approx((len(inside) + len(outside)) / 5, abs=1)


def metrics(poses: dict[str, np.ndarray]) -> Iterator[StepObserver]:
    yield ModelError(poses, every_steps=12, poses_per_turn=25)
    yield PoseProbe(poses, seed=1, every_steps=12, poses_per_turn=25)


def test_pose_sweep_metrics_continue_identically_after_a_restore(poses: dict[str, np.ndarray]) -> None:
    agent = agent_with(encoder=PixelEncoder(), dynamics=Constant(0.1))
    script: list[Mapping[str, np.ndarray]] = [{"room": np.array([1])}] * 20
    for whole, first, second in zip(metrics(poses), metrics(poses), metrics(poses), strict=True):
        watch(whole, script, agent=agent)
        watch(first, script[:13], agent=agent)
        restore_state(second, collect_state(first))
        watch(second, script[13:], agent=agent)
        assert second.report() == pytest.approx(whole.report(), nan_ok=True)
        assert second.report()


def test_model_error_waits_until_the_encoder_is_warmed_up(poses: dict[str, np.ndarray]) -> None:
    encoder = PixelEncoder()
    encoder.warmed_up = False
    metric = ModelError(poses, poses_per_turn=60)
    watch(metric, [{}] * 3, agent=agent_with(encoder=encoder))
    assert metric.report() == {}
    encoder.warmed_up = True
    watch(metric, [{}], agent=agent_with(encoder=encoder))
    assert set(metric.report()) == {"noise_angle"}, "there is no forward model to measure"


@pytest.mark.parametrize(
    "make", [ModelError, lambda poses: PoseProbe(poses, seed=0)], ids=["model_error", "pose_probe"]
)
def test_pose_sweep_metrics_report_nothing_without_an_encoder_or_poses(make: Any, poses: dict[str, np.ndarray]) -> None:
    assert watch(make(poses), [{}] * 3).report() == {}
    assert watch(make({}), [{}] * 3, agent=agent_with(encoder=PixelEncoder())).report() == {}
