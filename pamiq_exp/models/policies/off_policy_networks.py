"""Parts that the networks of SAC and DQN share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.action_mask import MASK_FIELD, ActionMask
from pamiq_exp.models.nn.inputs import Batch, is_image
from pamiq_exp.models.nn.layers import ActivationName, activation
from pamiq_exp.spaces import ArraySpec


class EnsembleMlp(nn.Module):
    """Several MLPs of the same sizes, computed at once; each layer but the last is followed by the activation.

    Args:
        members: Number of MLPs.
        width: Size of the input.
        hidden: Widths of the hidden layers.
        outputs: Size of the output.
        activation_name: What follows each hidden layer.
    """

    def __init__(
        self, members: int, width: int, hidden: Sequence[int], outputs: int, activation_name: ActivationName
    ) -> None:
        super().__init__()
        sizes = [width, *hidden, outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        self.activation = activation(activation_name)
        for before, after in pairwise(sizes):
            bound = 1 / math.sqrt(before)  # as torch initializes linear layers
            self.weights.append(nn.Parameter(torch.empty(members, before, after).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(members, 1, after).uniform_(-bound, bound)))

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """`(batch, width)` -> `(members, batch, outputs)`; the parameters of a frozen one get no gradient."""
        output = x.expand(self.weights[0].shape[0], *x.shape)
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if index:
                output = self.activation(output)
            if frozen:
                weight, bias = weight.detach(), bias.detach()
            output = torch.baddbmm(bias, output, weight)
        return output


def image_trunk(fields: Mapping[str, ArraySpec], width: int, features: int) -> tuple[nn.Module, int]:
    """Return the layers between a convolutional encoder and what reads it, and their width; none without an image.

    Source: Yarats et al. 2021, Mastering visual continuous control, appendix B: a linear layer, layer norm and tanh.
    """
    if not any(is_image(spec) for spec in fields.values()):
        return nn.Identity(), width
    return nn.Sequential(nn.Linear(width, features), nn.LayerNorm(features), nn.Tanh()), features


def next_inputs(batch: Batch, fields: Iterable[str], mask: ActionMask | None) -> dict[str, Tensor]:
    """Return the inputs and the mask, if any, of the observation from which a transition's return goes on.

    They have their plain names.
    """
    names = fields if mask is None else (*fields, MASK_FIELD)
    return {name: batch[f"next.{name}"] for name in names}


@torch.no_grad()
def follow(target: nn.Module, source: nn.Module, tau: float) -> None:
    """Move the parameters of a target network: target = (1 - tau) * target + tau * source."""
    ours: list[Tensor] = list(target.parameters())
    theirs: list[Tensor] = list(source.parameters())
    if tau == 1:
        torch._foreach_copy_(ours, theirs)
    else:
        torch._foreach_lerp_(ours, theirs, tau)
