"""Variational autoencoder of images (Kingma and Welling 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch, choose_image, leading_shape, scale
from pamiq_exp.models.nn.precision import to_float32

_LAYERS = ((8, 4), (4, 2), (3, 1))
"""Kernel and stride of each convolution."""


def gaussian_kl(mean: Tensor, std: Tensor) -> Tensor:
    """KL divergence of N(mean, std) from N(0, 1) in nats, for each number: (mu^2 + sigma^2 - 1) / 2 - log sigma."""
    return 0.5 * (mean.square() + std.square() - 1) - std.log()


class _Crop(nn.Module):
    """Crops a map to its upper left part."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height = height
        self.width = width

    def forward(self, image: Tensor) -> Tensor:
        return image[..., : self.height, : self.width]


class ImageVae(Encoder):
    """Variational autoencoder whose latent vectors are the means of the posterior.

    Loss: mean squared error of the pixels (from 0 to 1) plus `beta` times the KL divergence, mean over the features.
    Since both are means, the weight of one nat against the error summed over pixels is `beta` * pixels / features; it
    is logged.

    Images may have any size: the encoder pads to a multiple of the strides, and the decoder crops.

    Source: Kingma and Welling 2014, Auto-encoding variational Bayes; the stack is that of Mnih et al. 2015.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`, with exactly one image unless
            `image` names one.
        features: Size of a latent vector.
        beta: Weight of the divergence.
        learning_rate: Of AdamW.
        image: Name of the image to encode.
        channels: Widths of the three convolutions of encoder and decoder.
        hidden: Width of the linear layer before the features.

    Raises:
        ValueError: There is no image to encode, or several; or `channels` are not three.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        features: int = 64,
        beta: float = 0.01,
        learning_rate: float = 1e-4,
        image: str | None = None,
        channels: Sequence[int] = (32, 64, 64),
        hidden: int = 512,
    ) -> None:
        super().__init__(observation, features)
        self._field, shape = choose_image(self.fields, image, "ImageVae")
        self.fields = {self._field: self.fields[self._field]}
        self.beta = float(beta)
        self.learning_rate = float(learning_rate)
        self._image_shape = shape
        encoder, decoder, flat = _stacks(shape, channels)
        self.encoder = nn.Sequential(encoder, nn.Flatten(), nn.Linear(flat, hidden), nn.LeakyReLU())
        self.mean = nn.Linear(hidden, features)
        self.pre_std = nn.Linear(hidden, features)
        self.decoder = nn.Sequential(nn.Linear(features, flat), nn.LeakyReLU(), decoder)
        self.bias_image = nn.Parameter(torch.full((shape[2], shape[0], shape[1]), 0.5))

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`."""
        leading = leading_shape(batch, self.fields)
        mean: Tensor = self.mean(self.encoder(self._pixels(batch)))
        return mean.view(*leading, self.features)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode latent vectors to images: `(..., features)` -> `(..., height, width, channels)`, about 0 to 1."""
        flat = latent.reshape(-1, self.features).to(self.bias_image.dtype)
        decoded: Tensor = self.decoder(flat) + self.bias_image
        image: Tensor = decoded.movedim(1, -1).reshape(latent.shape[:-1] + self._image_shape)
        return image

    def reconstruction_error(self, batch: Batch, latent: Tensor) -> Tensor:
        """Mean squared error of each image decoded from its latent vector, `(...)`."""
        difference: Tensor = self.decode(latent) - self._scaled(batch)
        return difference.square().mean((-3, -2, -1))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Reconstruction error + beta * divergence."""
        pixels = self._pixels(batch)
        mean, std = self._posterior(pixels)
        latent = mean + std * torch.randn_like(std)
        error = to_float32(self.decoder(latent) + self.bias_image - pixels).square().mean()
        divergence = gaussian_kl(to_float32(mean), to_float32(std))
        loss: Tensor = error + self.beta * divergence.mean()
        self.log_dict(
            {
                "loss": loss,
                "reconstruction_error": error,
                "divergence": divergence.sum(-1).mean(),
                "active_features": (mean.var(0) > 0.01).float().sum(),
                "divergence_weight": self.beta * pixels[0].numel() / self.features,
            }
        )
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Reconstruction error from the posterior means."""
        error = self.reconstruction_error(batch, self.encode(batch)).mean()
        self.log("held_out_loss", error)
        return error

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on everything."""
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate)

    @torch.no_grad()
    def pictures(self, batch: Batch) -> Mapping[str, NDArray[np.uint8]]:
        """The first images of a batch above their reconstructions, as one picture."""
        shown = {self._field: batch[self._field].flatten(0, -4)[:8]}
        images, decoded = self._scaled(shown), self.decode(self.encode(shown)).clamp(0, 1)
        grid = torch.cat([torch.cat(list(row), dim=1) for row in (images, decoded)], dim=0)
        if grid.shape[-1] == 1:
            grid = grid.expand(-1, -1, 3)
        return {"reconstruction": grid[..., :3].mul(255).round().to(torch.uint8).cpu().numpy()}

    def _posterior(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.encoder(pixels)
        return self.mean(hidden), nn.functional.softplus(self.pre_std(hidden)) + 1e-7

    def _pixels(self, batch: Batch) -> Tensor:
        return self._scaled(batch).flatten(0, -4).movedim(-1, 1).to(self.bias_image.dtype)

    def _scaled(self, batch: Batch) -> Tensor:
        return scale(batch[self._field], self.fields[self._field])


def _stacks(shape: tuple[int, int, int], widths: Sequence[int]) -> tuple[nn.Sequential, nn.Sequential, int]:
    """Return the convolutions of encoder and decoder, and the size of the map between them."""
    if len(widths) != len(_LAYERS):
        raise ValueError(f"channels must be {len(_LAYERS)} widths, one of each convolution, not {list(widths)}")
    height, width, depth = shape
    encoder: list[nn.Module] = []
    decoder: list[nn.Module] = []
    for channels, (kernel, stride) in zip(widths, _LAYERS, strict=True):
        bottom, right = _missing(height, kernel, stride), _missing(width, kernel, stride)
        encoder += [
            nn.ReplicationPad2d((0, right, 0, bottom)),
            nn.Conv2d(depth, channels, kernel, stride),
            nn.LeakyReLU(),
        ]
        decoder = [nn.LeakyReLU(), nn.ConvTranspose2d(channels, depth, kernel, stride), _Crop(height, width), *decoder]
        height, width, depth = (
            (height + bottom - kernel) // stride + 1,
            (width + right - kernel) // stride + 1,
            channels,
        )
    return (
        nn.Sequential(*encoder),
        nn.Sequential(nn.Unflatten(1, (depth, height, width)), *decoder[1:]),
        depth * height * width,
    )


def _missing(side: int, kernel: int, stride: int) -> int:
    """Pixels of padding, so that a convolution covers the last pixel of a side."""
    return kernel - side if side < kernel else -(side - kernel) % stride
