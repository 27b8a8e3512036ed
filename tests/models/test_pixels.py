"""A network that predicts images: of any size, given the action, and able to learn what moves."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from pamiq_exp.models import ForwardDynamics, PixelDynamics
from pamiq_exp.spaces import ActionSpec

ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [1], "dtype": "int64", "nvec": [3]}


def pictures(count: int, length: int, shape: tuple[int, int, int], seed: int = 0) -> dict[str, Tensor]:
    """Stripes that action 1 moves to the right by a pixel, 2 to the left, and 0 not at all."""
    generator = torch.Generator().manual_seed(seed)
    action = torch.randint(0, 3, (count, length, 1), generator=generator)
    first = torch.randint(0, 4, (count, 1), generator=generator)
    place = first + torch.tensor([0, 1, -1])[action.squeeze(-1)].cumsum(1).roll(1, 1) * (torch.arange(length) > 0)
    columns = (torch.arange(shape[1]) - place[..., None]) % 4 < 2
    latent = columns[:, :, None, :, None].expand(count, length, *shape).float().flatten(2)
    return {"latent": latent, "action": action, "ended": torch.zeros(count, length, dtype=torch.bool)}


def test_pixel_dynamics_predicts_images_of_any_size_unchanged_before_training() -> None:
    shapes = [(8, 8, 3), (7, 10, 1), (1, 1, 3), (40, 40, 3)]
    for shape, patch in itertools.product(shapes, (2, 4)):
        network = PixelDynamics(shape[0] * shape[1] * shape[2], ACTION, shape, channels=(4, 8), patch=patch)
        picture = torch.rand(2, network.features)
        predicted, _ = network(picture, torch.zeros(2, 1, dtype=torch.int64), network.initial_state(2))
        assert torch.equal(predicted, picture), (shape, patch)


def test_pixel_dynamics_learns_the_effect_of_actions() -> None:
    torch.manual_seed(0)
    shape = (8, 8, 1)
    dynamics = ForwardDynamics(PixelDynamics(64, ACTION, shape, channels=(16, 32), patch=4), learning_rate=3e-3)
    optimizer = dynamics.configure_optimizers()
    before = dynamics.loss(pictures(16, 9, shape, seed=99)).item()
    for update in range(150):
        optimizer.zero_grad()
        dynamics.loss(pictures(16, 9, shape, seed=update)).backward()
        optimizer.step()
    assert dynamics.loss(pictures(16, 9, shape, seed=99)).item() < 0.1 * before


def test_pixel_dynamics_refuses_features_that_do_not_fit_the_image() -> None:
    with pytest.raises(ValueError, match="encoder=pixels"):
        PixelDynamics(100, ACTION, (8, 8, 3))
