"""The decoder shows what the features of an encoder hold, without training the encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pamiq_exp.models import LatentDecoder
from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch, scale
from pamiq_exp.spaces import ArraySpec

SPEC: ArraySpec = {"shape": [24, 20, 3], "dtype": "uint8"}
OBSERVATION = {"image": SPEC}


class Colors(Encoder):
    """Keeps the mean color of each quarter, and nothing else; `features` is 4 tokens of 3 numbers."""

    def __init__(self) -> None:
        super().__init__(OBSERVATION, 12)
        self.gain = nn.Parameter(torch.ones(12))

    def encode(self, batch: Batch) -> Tensor:
        image = scale(batch["observation.image"], SPEC)
        quarters = image.unflatten(-2, (2, 10)).unflatten(-4, (2, 12)).mean((-4, -2))
        return quarters.flatten(-3) * self.gain


def attached(**given: Any) -> tuple[LatentDecoder, Colors]:
    torch.manual_seed(0)
    encoder = Colors()
    decoder = LatentDecoder(OBSERVATION, 12, channels=(16, 8), **given)
    decoder.attach_models({"encoder": encoder, "decoder": decoder})
    return decoder, encoder


def frames(*leading: int) -> dict[str, Tensor]:
    """Four quarters of one color each, with noise that the encoder does not keep."""
    generator = torch.Generator().manual_seed(0)
    colors = torch.rand(*leading, 2, 2, 3, generator=generator)
    image = colors.repeat_interleave(12, -3).repeat_interleave(10, -2)
    noise = 0.1 * torch.rand(image.shape, generator=generator)
    return {"observation.image": (255 * (0.8 * image + noise)).to(torch.uint8)}


@pytest.mark.parametrize("tokens", [1, 4])
def test_latent_decoder_learns_to_reconstruct_without_changing_the_encoder(tokens: int) -> None:
    decoder, encoder = attached(tokens=tokens)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    batch = frames(16)
    optimizer = decoder.configure_optimizers()
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        loss = decoder.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.25 * losses[0]
    assert encoder.gain.grad is None
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not any("gain" in name for name in decoder.state_dict())


@pytest.mark.parametrize("leading", [(3,), (2, 4), ()])
def test_latent_decoder_output_has_the_shape_of_the_observation(leading: tuple[int, ...]) -> None:
    decoder, encoder = attached(tokens=4)
    assert decoder.decode(encoder.encode(frames(*leading))).shape == (*leading, 24, 20, 3)


def test_latent_decoder_pictures_are_a_grid_and_for_sequences_also_a_film() -> None:
    decoder, encoder = attached(tokens=4)
    batch = frames(3, 5)
    images, decoded = scale(batch["observation.image"], SPEC), decoder.decode(encoder.encode(batch)).detach()
    shown = decoder.pictures(batch)
    film = shown["reconstruction_film"]
    assert film.shape == (5, 24, 40, 3)
    torch.testing.assert_close(torch.from_numpy(film[2, :, :20]) / 255, images[0, 2], atol=0.003, rtol=0)
    torch.testing.assert_close(torch.from_numpy(film[2, :, 20:]) / 255, decoded[0, 2].clamp(0, 1), atol=0.003, rtol=0)
    single = decoder.pictures(frames(4))
    assert set(single) == {"reconstruction"}
    assert single["reconstruction"].shape == (48, 80, 3)
    assert shown["reconstruction"].shape[0] == 48


@pytest.mark.parametrize("given", [{"tokens": 3}, {"tokens": 16}])
def test_latent_decoder_refuses_tokens_that_are_not_a_square_map(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="square map"):
        LatentDecoder(OBSERVATION, 12, **given)
