"""Decoder of another encoder's latent vectors, to see what they contain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.models.dynamics.latent_model import LatentModel
from pamiq_exp.models.nn.inputs import Batch, choose_image, observation_fields, scale

_FIRST_SIDE = 4
"""Side of the first map for a latent vector of one token."""

_SHOWN = 8
"""Images in a picture."""


class _ResidualBlock(nn.Module):
    """Norm, SiLU and a 3x3 convolution, twice, around a residual path."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(_groups(inputs), inputs),
            nn.SiLU(),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.GroupNorm(_groups(outputs), outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.skip(image) + self.layers(image)
        return output


class LatentDecoder(LatentModel):
    """Learns to decode images from the latent vectors of an encoder, without gradients into the encoder.

    What it cannot reconstruct is not in the latent vectors, or is hard to read from them. Loss: mean squared error of
    the pixels, from 0 to 1.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`, with exactly one image unless
            `image` names one.
        features: Size of a latent vector.
        tokens: Number of tokens in it, a square map; 1 for a vector without spatial positions.
        channels: Widths of the stages, from the map to the image; each doubles the side. The last one is that of all
            further stages.
        blocks: Residual blocks of each stage.
        encoder: Name of the encoder.
        learning_rate: Of AdamW.
        image: Name of the image to decode.

    Raises:
        ValueError: For an image or numbers that do not fit each other.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        features: int,
        tokens: int = 1,
        channels: Sequence[int] = (128, 64, 32),
        blocks: int = 1,
        encoder: str = "encoder",
        learning_rate: float = 1e-3,
        image: str | None = None,
    ) -> None:
        super().__init__(encoder, learning_rate)
        fields = observation_fields(observation)
        self.field, self.shape = choose_image(fields, image, "LatentDecoder")
        self.spec = fields[self.field]
        side = round(tokens**0.5)
        if side**2 != tokens or features % tokens:
            raise ValueError(f"{features} features are not a square map of {tokens} tokens of equal size")
        first: nn.Module
        if tokens == 1:
            side = _FIRST_SIDE
            first = nn.Sequential(
                nn.Linear(features, channels[0] * side**2), nn.Unflatten(-1, (channels[0], side, side))
            )
        else:
            first = nn.Sequential(_Map(side), nn.Conv2d(features // tokens, channels[0], 1))
        layers: list[nn.Module] = [first]
        width, stage = channels[0], 0
        while True:
            following = channels[min(stage, len(channels) - 1)]
            layers += [_ResidualBlock(width if block == 0 else following, following) for block in range(blocks)]
            width, stage = following, stage + 1
            if side >= max(self.shape[:2]):
                break
            layers.append(nn.Upsample(scale_factor=2))
            side *= 2
        last = nn.Conv2d(width, self.shape[2], 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, 0.5)  # type: ignore[arg-type]
        self.layers = nn.Sequential(*layers, nn.GroupNorm(_groups(width), width), nn.SiLU(), last)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode images: `(..., features)` -> `(..., height, width, channels)`, about 0 to 1."""
        weight = next(self.layers.parameters())
        decoded = self.layers(latent.reshape(-1, latent.shape[-1]).to(weight.dtype))
        if decoded.shape[-2:] != self.shape[:2]:
            decoded = nn.functional.interpolate(decoded, self.shape[:2], mode="bilinear", align_corners=False)
        image: Tensor = decoded.movedim(1, -1).reshape(latent.shape[:-1] + self.shape)
        return image

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Error of the decoded images."""
        loss = self._error(batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The same on held-out images."""
        loss = self._error(batch)
        self.log("held_out_loss", loss)
        return loss

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.uint8]]:
        """Images of a batch above their reconstructions; of sequences also a film, side by side.

        A picture is `(height, width, 3)`, a film `(time, height, width, 3)`.
        """
        images, decoded = scale(batch[self.field], self.spec), self.decode(self.latents(batch))
        pairs = torch.stack([images.to(decoded.dtype), decoded])
        shown = {"reconstruction": _grid(pairs.flatten(1, -4)[:, :: max(1, images[..., 0, 0, 0].numel() // _SHOWN)])}
        if images.ndim > 4:
            shown["reconstruction_film"] = _bytes(torch.cat(list(pairs.flatten(1, -5)[:, 0]), -2))
        return shown

    def _error(self, batch: Batch) -> Tensor:
        decoded = self.decode(self.latents(batch))
        return (decoded - scale(batch[self.field], self.spec).to(decoded.dtype)).square().mean()


class _Map(nn.Module):
    """`(batch, tokens * channels)` -> `(batch, channels, side, side)`."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, latent: Tensor) -> Tensor:
        return latent.reshape(len(latent), self.side, self.side, -1).movedim(-1, 1)


def _groups(channels: int) -> int:
    return next(count for count in (32, 16, 8, 4, 2, 1) if channels % count == 0)


def _grid(rows: Tensor) -> NDArray[np.uint8]:
    """`(rows, columns, height, width, channels)` -> one picture."""
    return _bytes(torch.cat([torch.cat(list(row[:_SHOWN]), 1) for row in rows], 0))


def _bytes(image: Tensor) -> NDArray[np.uint8]:
    if image.shape[-1] == 1:
        image = image.expand(*image.shape[:-1], 3)
    pixels: NDArray[np.uint8] = image[..., :3].clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
    return pixels
