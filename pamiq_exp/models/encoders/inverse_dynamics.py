"""Inverse dynamics features (Pathak et al. 2017): the encoder of the intrinsic curiosity module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.func import functional_call

from pamiq_exp.models.dynamics.forward_dynamics import ForwardDynamics
from pamiq_exp.models.dynamics.latent_model import find_model
from pamiq_exp.models.dynamics.network import DynamicsNetwork
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
    that an action switches cannot. Each vector is normalized to mean 0 and variance 1, so that errors keep their scale.

    With `feature_gradient` "inverse" the forward dynamics has no gradient into the features, so that it cannot lower
    its error by choosing them. With "both", the loss is (1 - beta) times the one above plus beta times

        1/2 mean (f(phi(o_t), a_t) - phi(o_{t+1}))^2

    for the forward dynamics f as it is, whose own trainer changes it.

    Trains on sequences of at least 2 steps, with `action` and `ended`.

    Sources: Pathak et al. 2017, Curiosity-driven exploration by self-supervised prediction, equations 2 to 7 (both);
    Burda et al. 2018, Large-scale study of curiosity-driven learning, section 2.2 (inverse).

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
        feature_gradient: Whose losses the features learn from: "inverse" or "both".
        forward_share: beta, with "both".
        dynamics: Name of the forward dynamics, with "both".

    Raises:
        ValueError: For another `feature_gradient`, or a share outside of 0 to 1.
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
        feature_gradient: Literal["inverse", "both"] = "inverse",
        forward_share: float = 0.2,
        dynamics: str = "dynamics",
    ) -> None:
        super().__init__(observation, features)
        if feature_gradient not in ("inverse", "both") or not 0 <= forward_share <= 1:
            raise ValueError(
                "feature_gradient is inverse or both and forward_share from 0 to 1, not "
                f"{feature_gradient!r} and {forward_share}"
            )
        self.feature_gradient = feature_gradient
        self.forward_share = float(forward_share) if feature_gradient == "both" else 0.0
        self._dynamics_name = dynamics
        # In a tuple, or the dynamics would become a submodule: trained, published and saved twice.
        self._dynamics: tuple[ForwardDynamics, ...] = ()
        body = FieldsNetwork(self.fields, channels, hidden, "leaky_relu", map_side, patch)
        self.network = nn.Sequential(body, orthogonal(nn.Linear(body.width, features)))
        self.inverse = mlp(2 * features, inverse_hidden, "leaky_relu")
        self.head = make_action_head(inverse_hidden[-1] if inverse_hidden else 2 * features, action)
        self.learning_rate = float(learning_rate)
        self._discrete = action["kind"] != "box"

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Find the forward dynamics, with `feature_gradient` "both". Raises ValueError without one."""
        if self.feature_gradient == "both":
            self._dynamics = (find_model(models, self._dynamics_name, ForwardDynamics, "feature_gradient: both"),)

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
        for dynamics in self._dynamics:
            mean = _predicted_means(dynamics.network, latent[:, :-1], action, batch["ended"][:, :-1])
            errors = (mean - latent[:, 1:]).square().mean(-1)
            loss = (1 - self.forward_share) * loss + self.forward_share * 0.5 * masked_mean(errors, valid)
        if not self._discrete:
            return loss, None
        correct = (distribution.mode() == action).to(latent.dtype).mean(-1)
        return loss, masked_mean(correct, valid)


class _SequencePrediction(nn.Module):
    """The mean of the next latent vectors of sequences, `(batch, T, features)`; of an ensemble that of its members."""

    def __init__(self, network: DynamicsNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, action: Tensor, ended: Tensor) -> Tensor:
        mean: Tensor = self.network.predict_sequence(latent, action, ended)[0].mean
        return mean.mean(0) if mean.ndim > latent.ndim else mean


def _predicted_means(network: DynamicsNetwork, latent: Tensor, action: Tensor, ended: Tensor) -> Tensor:
    """What a network predicts, with a gradient into the latent vectors and none into its parameters."""
    module = _SequencePrediction(network)
    fixed = {name: parameter.detach() for name, parameter in module.named_parameters()}
    means: Tensor = functional_call(module, fixed, (latent, action, ended))
    return means
