"""The image VAE encodes and reconstructs images of any size, and refuses other observations."""

from __future__ import annotations

import pytest
import torch

from pamiq_exp.models import ImageVae
from pamiq_exp.models.encoders.image_vae import gaussian_kl


def observation(height: int, width: int, depth: int = 3) -> dict[str, object]:
    return {"image": {"shape": [height, width, depth], "dtype": "uint8"}}


def images(count: int, height: int, width: int) -> dict[str, torch.Tensor]:
    """Smooth colored gradients and edges."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(corners, (height, width), mode="bilinear")
    return {"observation.image": (smooth.movedim(1, -1) * 255).to(torch.uint8)}


def test_gaussian_kl_matches_torch() -> None:
    mean, std = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    normal, standard = torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(gaussian_kl(mean, std), torch.distributions.kl_divergence(normal, standard))


def test_image_vae_decodes_images_of_the_original_size() -> None:
    for size in ((7, 7), (36, 36), (64, 64), (65, 83), (84, 84), (210, 160)):
        vae = ImageVae(observation(*size), features=4)
        batch = images(2, *size)
        latent = vae.encode(batch)
        assert latent.shape == (2, 4), size
        assert vae.decode(latent).shape == (2, *size, 3), size
        assert vae.reconstruction_error(batch, latent).shape == (2,), size


@pytest.mark.parametrize("size", [(7, 9), (64, 64), (66, 85)])
def test_image_vae_encodes_and_decodes_every_pixel(size: tuple[int, int]) -> None:
    vae = ImageVae(observation(*size), features=4)
    image = torch.rand(1, *size, 3, requires_grad=True)
    vae.encode({"observation.image": image}).square().sum().backward()
    assert image.grad is not None
    assert (image.grad.abs().sum(-1) > 0).all()
    latents = torch.randn(64, 4)
    assert (vae.decode(latents).std(0) > 0).all()


def test_image_vae_keeps_leading_axes() -> None:
    vae = ImageVae(observation(36, 36), features=4)
    batch = images(6, 36, 36)
    sequences = {name: value.unflatten(0, (2, 3)) for name, value in batch.items()}
    latent = vae.encode(sequences)
    torch.testing.assert_close(latent.flatten(0, 1), vae.encode(batch))
    assert vae.decode(latent).shape == (2, 3, 36, 36, 3)
    torch.testing.assert_close(
        vae.reconstruction_error(sequences, latent).flatten(), vae.reconstruction_error(batch, latent.flatten(0, 1))
    )


def test_image_vae_learns_to_reconstruct_a_few_images() -> None:
    torch.manual_seed(0)
    vae = ImageVae(observation(36, 36), features=32, beta=0.001, learning_rate=2e-3)
    batch = images(8, 36, 36)
    optimizer = vae.configure_optimizers()
    for step in range(100):
        loss = vae.training_step(batch, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        assert vae.reconstruction_error(batch, vae.encode(batch)).mean() < 0.01


def test_image_vae_pictures_show_images_above_their_reconstructions() -> None:
    vae = ImageVae(observation(36, 40), features=4)
    batch = images(12, 36, 40)
    picture = vae.pictures(batch)["reconstruction"]
    assert picture.shape == (2 * 36, 8 * 40, 3)
    assert (picture[:36, :40] == batch["observation.image"][0].numpy()).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vector": {"shape": [4], "dtype": "float32"}}, "random_features"),
        (observation(64, 64) | {"depth": {"shape": [64, 64, 1], "dtype": "uint8"}}, "image, depth"),
    ],
)
def test_image_vae_refuses_observations_without_exactly_one_image(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageVae(fields)


def test_image_vae_encodes_the_named_one_of_several_images() -> None:
    vae = ImageVae(observation(64, 64) | {"depth": {"shape": [64, 64, 1], "dtype": "uint8"}}, image="depth", features=4)
    assert vae.encode({"observation.depth": torch.zeros(2, 64, 64, 1, dtype=torch.uint8)}).shape == (2, 4)
