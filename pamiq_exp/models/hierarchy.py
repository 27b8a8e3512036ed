"""Forward models of forward models, each slower than the one below."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pamiq_exp.models.distributions import ActionEncoding
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.latent_model import NetworkModel
from pamiq_exp.models.precision import wide
from pamiq_exp.spaces import ActionSpec


class Stretch(NamedTuple):
    """What a layer makes of one of its steps.

    Attributes:
        prediction: What it foresees of its next observation, `(batch, size)`.
        summary: What the layer above may observe of this step, `(batch, width)`, normalised.
    """

    prediction: Tensor
    summary: Tensor


class _Layer(nn.Module):
    def __init__(self, size: int, action_width: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(size + action_width, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )
        self.predictor = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, size))

    def forward(self, observation: Tensor, action: Tensor) -> Stretch:
        joined = torch.cat([observation, action], -1)
        summary = self.encoder(joined.to(next(self.parameters()).dtype))
        return Stretch(self.predictor(summary), summary)


class TimeHierarchy(nn.Module):
    """Layers of forward models. Layer l takes a step every ratio^l turns.

    A layer observes the summary that the layer below made of its last step, and acts by the mean of the actions
    since; the lowest observes latent vectors.

    Args:
        features: Numbers in a latent vector.
        action: The action space.
        layers: Number of layers.
        ratio: Steps of a layer in one step of the layer above.
        width: Numbers in a summary.
    """

    def __init__(self, features: int, action: ActionSpec, layers: int = 3, ratio: int = 2, width: int = 64) -> None:
        super().__init__()
        if layers < 1 or ratio < 1:
            raise ValueError(f"layers and ratio must be at least 1, not {layers} and {ratio}")
        self.ratio = int(ratio)
        self.action = ActionEncoding(action)
        sizes = [features, *(width for _ in range(layers - 1))]
        self.layers = nn.ModuleList(_Layer(size, self.action.width, width) for size in sizes)

    def step(self, layer: int, observation: Tensor, action: Tensor) -> Stretch:
        """One step of one layer: its observation, `(batch, size)`, and its encoded action, `(batch, action.width)`."""
        stretch: Stretch = self.layers[layer](observation, action)
        return stretch


class TimeHierarchyModel(NetworkModel[TimeHierarchy]):
    """Trains every layer on its own stream; no layer shapes what the one below shows it.

    Sequences should hold several steps of the top layer: at least 2 ratio^(layers - 1) + layers turns.

    Source: the hierarchical dynamics of P-AMI<Q> (2024).

    Args:
        network: The layers.
        encoder, learning_rate, weight_decay: See `LatentModel`.
    """

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Sum of the mean squared errors of all layers, on sequences `(batch, length, ...)`."""
        losses = self.losses(batch)
        self.log_dict({f"loss_layer_{layer}": loss for layer, loss in enumerate(losses)})
        loss = torch.stack(losses).sum()
        self.log("loss", loss)
        return loss

    def losses(self, batch: Batch) -> list[Tensor]:
        """The loss of each layer. Raises ValueError for sequences in which the top one does not take a step."""
        ratio = self.network.ratio
        observation = self.latents(batch)
        action = self.network.action(batch["action"])[:, :-1]
        weight = (~batch["ended"][:, :-1]).to(action.dtype)
        losses = []
        for layer in range(len(self.network.layers)):
            steps = observation.shape[1] - 1
            if steps < 1:
                raise ValueError(
                    f"sequences of {len(batch['ended'][0])} turns hold no step of layer {layer}: set sequence_length "
                    f"to at least {2 * ratio ** (len(self.network.layers) - 1) + len(self.network.layers)}"
                )
            stretch = self.network.step(layer, observation[:, :-1], action[:, :steps])
            errors = (wide(observation[:, 1:]) - wide(stretch.prediction)).square().mean(-1)
            losses.append((errors * weight[:, :steps]).sum() / weight[:, :steps].sum().clamp(min=1))
            chunks = steps // ratio
            observation = stretch.summary[:, ::ratio].detach()
            action = action[:, : chunks * ratio].reshape(len(action), chunks, ratio, action.shape[-1]).mean(2)
            weight = weight[:, : chunks * ratio].reshape(len(weight), chunks, ratio).prod(2)
            observation = observation[:, : chunks + 1]
        return losses
