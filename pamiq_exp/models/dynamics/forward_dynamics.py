"""Training of forward dynamics: prediction of the next latent vectors from latent vector and action."""

from __future__ import annotations

import torch
from torch import Tensor

from pamiq_exp.models.dynamics.horizon import HorizonDecay, horizon_weights
from pamiq_exp.models.dynamics.latent_model import NetworkModel
from pamiq_exp.models.dynamics.network import DynamicsNetwork
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.sequences import masked_mean, require_sequences


class ForwardDynamics(NetworkModel[DynamicsNetwork]):
    """Trains a network to predict the latent vectors of the next `horizon` observations.

    The loss is the negative log-likelihood, mean over the features. For a distribution of fixed variance it is the
    mean squared error: 1 for whitened features means that nothing is predicted. The transition out of the last
    observation of an episode has weight 0, and the memory is cleared there.

    With a `horizon` of K, the network is also rolled out from its own predictions for K - 1 steps, with the actions
    that were taken and the memory after each step. All members of an ensemble learn from the same batches.

    Args:
        network: The network that predicts.
        encoder: Name of the encoder; see `LatentModel`.
        burn_in: Steps at the start of a sequence that only fill the memory.
        horizon: K, the largest number of steps ahead.
        horizon_decay: Weights of the numbers of steps ahead; see `horizon_weights`.
        bootstrap: Probability that a member of an ensemble learns from a sequence; 1 for all from all.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
    """

    def __init__(
        self,
        network: DynamicsNetwork,
        encoder: str = "encoder",
        burn_in: int = 0,
        horizon: int = 1,
        horizon_decay: HorizonDecay = "exponential",
        bootstrap: float = 1.0,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(network, encoder, learning_rate, weight_decay)
        self.burn_in = int(burn_in)
        self.horizon_weights = horizon_weights(horizon, horizon_decay)
        if not 0 < bootstrap <= 1:
            raise ValueError(f"bootstrap is a probability above 0, not {bootstrap}")
        self.bootstrap = float(bootstrap)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `DynamicsNetwork.forward`."""
        prediction: tuple[Tensor, Tensor] = self.network(latent, action, state)
        return prediction

    def losses(self, batch: Batch) -> list[Tensor]:
        """The loss of predictions 1, 2, ... K steps ahead, each a mean over the valid transitions."""
        latent = self.latents(batch)
        require_sequences(latent, self.burn_in + len(self.horizon_weights) + 1, type(self).__name__)
        targets, action, ended = latent[:, 1:], batch["action"][:, :-1], batch["ended"][:, :-1]
        prediction, states = self.network.predict_sequence(latent[:, :-1], action, ended)
        valid = ~ended
        valid[:, : self.burn_in] = False
        errors = prediction.loss(targets)
        drawn = self._bootstrap_weights(errors)
        losses = [masked_mean(errors, valid * drawn)]
        mean = prediction.mean
        for ahead in range(1, len(self.horizon_weights)):
            valid = valid[:, :-1] & ~ended[:, ahead:]
            rows = valid.shape
            prediction, flat = self.network.predict(
                mean[..., :-1, :].flatten(-3, -2), action[:, ahead:].flatten(0, 1), states[:, :-1].flatten(0, 1)
            )
            errors = prediction.loss(targets[:, ahead:].flatten(0, 1))
            errors = errors.reshape(*errors.shape[:-1], *rows)
            losses.append(masked_mean(errors, valid * drawn))
            mean, states = prediction.mean.reshape(*errors.shape, -1), flat.reshape(*rows, flat.shape[-1])
        return losses

    def loss(self, batch: Batch) -> Tensor:
        """The weighted sum of the losses of all numbers of steps ahead."""
        return self._weighted(self.losses(batch))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of a batch of sequences, `(batch, length, ...)`."""
        losses = self.losses(batch)
        loss = self._weighted(losses)
        self.log("loss", loss)
        if len(losses) > 1:
            self.log_dict({f"loss_{ahead}_ahead": each for ahead, each in enumerate(losses, 1)})
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The same loss, on held-out sequences."""
        loss = self.loss(batch)
        self.log("held_out_loss", loss)
        return loss

    def _weighted(self, losses: list[Tensor]) -> Tensor:
        return torch.stack([weight * loss for weight, loss in zip(self.horizon_weights, losses, strict=True)]).sum()

    def _bootstrap_weights(self, errors: Tensor) -> Tensor:
        """1 for the sequences that each member learns from, broadcast to `errors`, `([members,] batch, T)`."""
        if errors.ndim == 2 or self.bootstrap == 1 or not self.training:
            return errors.new_ones(())
        return (torch.rand(errors.shape[:-1], device=errors.device) < self.bootstrap).to(errors.dtype).unsqueeze(-1)
