"""How much of the noise a forward model predicts: models and worlds whose predictions and noise are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.environments import NoiseWorld, record_at_poses
from pamiq_exp.metrics import PredictedNoise
from tests.metrics.scripted import agent_with, watch

Poses = Mapping[str, np.ndarray]
POSES = 200


class Flat(nn.Module):
    """The view itself, pixel by pixel."""

    warmed_up = True
    frozen = True

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        return batch["observation.image"].flatten(1) / 255.0


class Known(nn.Module):
    """A forward model whose predictions are given, for all poses at once; without any, nothing changes."""

    def __init__(self, predictions: np.ndarray | None = None) -> None:
        super().__init__()
        self.predictions = predictions

    def initial_state(self, batch: int, device: torch.device) -> Tensor:
        return torch.zeros(batch, 0, device=device)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return (latent if self.predictions is None else flat(self.predictions)), state


def flat(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(pictures).flatten(1) / 255.0


def recorded(mode: str, *, fraction: float = 1.0, others: int = 4, num_envs: int = 8, speed: float = 0.0) -> Poses:
    """Steps in which an agent without speed stays where it is, and two pictures alternate on each tile."""
    noise = {"mode": mode, "pool": 2, "fraction": fraction}
    world = NoiseWorld(
        noise=noise, images={"size": 8}, actions="masked", num_envs=num_envs, image_size=16, speed=speed,
        turn_speed=60 * speed,
    )  # fmt: skip
    return record_at_poses(world, POSES, seed=1, others=others)


def measured(poses: Poses, model: nn.Module | None) -> dict[str, float]:
    models: dict[str, nn.Module] = {"encoder": Flat()}
    if model is not None:
        models["dynamics"] = model
    script: list[Mapping[str, Any]] = [{}]
    return watch(PredictedNoise(poses, poses_per_turn=POSES), script, agent=agent_with(**models)).report()


@pytest.fixture(scope="module")
def cycle() -> Poses:
    return recorded("cycle")


@pytest.mark.parametrize("speed", [0.0, 2.5])
def test_record_at_poses_puts_the_own_view_first_and_others_at_the_same_pose(speed: float) -> None:
    poses = recorded("cycle", speed=speed)
    placed, following = poses["placed_observation.image"], poses["next_observation.image"]
    assert placed.shape == (POSES, 5, 16, 16, 3)
    assert (placed[:, 0] == following).mean() > 0.999
    clean = recorded("cycle", fraction=0.0, speed=speed)["placed_observation.image"]
    assert (clean == clean[:, :1]).all(), "without noise all environments look alike"
    different = (placed[:, 1:] != placed[:, :1]).any(axis=-1)
    flickers = (poses["observation.image"] != following).any(axis=-1)
    if not speed:
        assert different[np.broadcast_to(flickers[:, None], different.shape)].mean() == pytest.approx(0.5, abs=0.1)
        assert different[np.broadcast_to(~flickers[:, None], different.shape)].mean() < 0.001


def test_predicted_noise_is_one_for_a_perfect_model(cycle: Poses) -> None:
    report = measured(cycle, Known(cycle["placed_observation.image"][:, 0]))
    assert report["predicted_noise"] == pytest.approx(1.0, abs=1e-3)
    assert report["noise_error"] == pytest.approx(0.0, abs=1e-9)
    assert report["noise_error_elsewhere"] > 0.0


def test_predicted_noise_of_no_change_is_minus_one_for_a_cycle_and_one_for_static(cycle: Poses) -> None:
    assert measured(cycle, Known())["predicted_noise"] == pytest.approx(-1.0, abs=1e-3)
    assert measured(recorded("static"), Known())["predicted_noise"] == pytest.approx(1.0, abs=1e-3)


def test_predicted_noise_is_zero_for_the_mean_of_both_images(cycle: Poses) -> None:
    pictures = (cycle["observation.image"].astype(np.float32) + cycle["next_observation.image"]) / 2
    assert measured(cycle, Known(pictures))["predicted_noise"] == pytest.approx(0.0, abs=1e-3)


def test_predicted_noise_is_zero_for_independent_noise() -> None:
    poses = recorded("iid")
    for model in (Known(), Known(255 - poses["observation.image"])):
        assert measured(poses, model)["predicted_noise"] == pytest.approx(0.0, abs=0.15)


def test_predicted_noise_matches_its_formula() -> None:
    poses = recorded("iid", speed=2.5)
    report = measured(poses, Known())
    placed = poses["placed_observation.image"] / 255.0
    predicted = poses["observation.image"][:, None] / 255.0
    own, elsewhere = (((predicted - views) ** 2).mean() for views in (placed[:, :1], placed[:, 1:]))
    apart = ((placed[:, :1] - placed[:, 1:]) ** 2).mean()
    assert report == pytest.approx(
        {"noise_error": own, "noise_error_elsewhere": elsewhere, "predicted_noise": (elsewhere - own) / apart}, abs=1e-4
    )


def test_predicted_noise_reports_nothing_without_noise_other_environments_or_a_model() -> None:
    for poses in (recorded("cycle", fraction=0.0), recorded("cycle", num_envs=1), recorded("cycle", others=0), {}):
        assert measured(poses, Known()) == {}
    assert measured(recorded("cycle"), None) == {}
