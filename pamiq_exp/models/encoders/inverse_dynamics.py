"""Inverse dynamics features (Pathak et al. 2017): the encoder of the intrinsic curiosity module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.action_distributions import ActionDistribution, make_action_head
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import FieldsNetwork, mlp, orthogonal
from pamiq_exp.models.nn.sequences import masked_mean, require_sequences, valid_transitions
from pamiq_exp.spaces import ActionSpec


class InverseDynamics(Encoder):
    """Features from which the action between two observations can be predicted.

        loss = -log p(a_t | phi(o_t), phi(o_{t+1})), summed over the branches

    The features need not contain what is independent of actions: noise that no action causes can be left out, noise
    that an action switches cannot. The forward dynamics has no gradient into them, so that it cannot lower its error
    by shrinking them; and each vector is normalized to mean 0 and variance 1, so that errors keep their scale.

    Trains on sequences of at least 2 steps, with `action` and `ended`.

    Source: Pathak et al. 2017, Curiosity-driven exploration by self-supervised prediction, section 2.2.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        action: The action space: `${spaces.action}`.
        features: Size of a latent vector.
        channels: Widths of the convolutional layers.
        map_side: Side of the map to which their output is averaged.
        hidden: Widths of the linear layers before the features.
        inverse_hidden: Widths of the linear layers between the features and the action.
        learning_rate: Of AdamW.
        patch: See `ConvolutionalStack`.
    """

    def __init__(
        self,
        observation: Mapping[str, object],
        action: ActionSpec,
        features: int = 128,
        channels: Sequence[int] = (16, 32, 64),
        map_side: int = 4,
        hidden: Sequence[int] = (256,),
        inverse_hidden: Sequence[int] = (256,),
        learning_rate: float = 1e-3,
        patch: int = 1,
    ) -> None:
        super().__init__(observation, features)
        body = FieldsNetwork(self.fields, channels, hidden, "leaky_relu", map_side, patch)
        self.network = nn.Sequential(body, orthogonal(nn.Linear(body.width, features)))
        self.inverse = mlp(2 * features, inverse_hidden, "leaky_relu")
        self.head = make_action_head(inverse_hidden[-1] if inverse_hidden else 2 * features, action)
        self.learning_rate = float(learning_rate)
        self._discrete = action["kind"] != "box"

    def encode(self, batch: Batch) -> Tensor:
        """See `Encoder.encode`."""
        return nn.functional.layer_norm(self.network(batch), (self.features,))

    def action_between(self, latent: Tensor, next_latent: Tensor) -> ActionDistribution:
        """The predicted distribution of the actions between observations, from their features, `(..., features)`."""
        distribution: ActionDistribution = self.head(self.inverse(torch.cat([latent, next_latent], -1)))
        return distribution

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of a batch of sequences, `(batch, length, ...)`."""
        loss, accuracy = self._loss(batch)
        self.log("loss", loss)
        if accuracy is not None:
            self.log("action_accuracy", accuracy)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The same loss, on held-out sequences."""
        loss, _ = self._loss(batch)
        self.log("held_out_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on everything, without weight decay."""
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=0.0)

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The loss, and the accuracy of discrete actions, over the valid transitions."""
        latent = self.encode(batch)
        require_sequences(latent, 2, type(self).__name__)
        valid, action = valid_transitions(batch["ended"]), batch["action"][:, :-1]
        distribution = self.action_between(latent[:, :-1], latent[:, 1:])
        loss = -masked_mean(distribution.log_prob(action), valid)
        if not self._discrete:
            return loss, None
        correct = (distribution.mode() == action).to(latent.dtype).mean(-1)
        return loss, masked_mean(correct, valid)
