"""What will I see next, if I do this?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.distributions import ActionEncoding
from pamiq_exp.models.encoder import Encoder
from pamiq_exp.models.inputs import Batch
from pamiq_exp.spaces import ActionSpec


class DynamicsNetwork(nn.Module, ABC):
    """Predicts the next latent vector from this one, the action, and what it remembers.

    Attributes:
        features: Numbers in a latent vector.
        state_width: Numbers of memory; 0 for a network without any.
    """

    def __init__(self, features: int, state_width: int = 0) -> None:
        super().__init__()
        self.features = int(features)
        self.state_width = int(state_width)

    @abstractmethod
    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Predict one step.

        Args:
            latent: z_t, `(batch, features)`.
            action: a_t, canonical, `(batch, branches)`.
            state: Memory of what came before t, `(batch, state_width)`.

        Returns:
            The prediction of z_{t+1}, `(batch, features)`, and the memory that t + 1 begins with.
        """

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> Tensor:
        """The memory at the start of an episode: zeros."""
        return torch.zeros(batch_size, self.state_width, device=device)


class _ActionBlock(nn.Module):
    """A residual block that is told the action again."""

    def __init__(self, width: int, action_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width + action_width, width)
        self.outer = nn.Linear(width + action_width, width)

    def forward(self, hidden: Tensor, action: Tensor) -> Tensor:
        inner = nn.functional.gelu(self.inner(torch.cat([self.norm(hidden), action], -1)))
        update: Tensor = self.outer(torch.cat([inner, action], -1))
        return hidden + update


class ResidualDynamics(DynamicsNetwork):
    """A residual MLP with the action at every layer, without memory.

    Source: the forward model of Burda et al. 2018, Large-scale study of curiosity-driven learning, appendix A.

    Args:
        features: Numbers in a latent vector.
        action: The action space.
        width: Width of the hidden layers.
        depth: Number of residual blocks.
        predict_change: Add the output to the latent vector instead of replacing it.
    """

    def __init__(
        self, features: int, action: ActionSpec, width: int = 256, depth: int = 2, predict_change: bool = False
    ) -> None:
        super().__init__(features)
        self.predict_change = predict_change
        self.action = ActionEncoding(action)
        self.input = nn.Linear(features + self.action.width, width)
        self.blocks = nn.ModuleList(_ActionBlock(width, self.action.width) for _ in range(depth))
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, features))

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        encoded = self.action(action)
        hidden = self.input(torch.cat([latent, encoded], -1))
        for block in self.blocks:
            hidden = block(hidden, encoded)
        output = self.output(hidden)
        return (latent + output if self.predict_change else output), state


class RecurrentDynamics(DynamicsNetwork):
    """A GRU over latents and actions.

    Args:
        features: Numbers in a latent vector.
        action: The action space.
        width: Width of the memory.
        predict_change: Add the output to the latent vector instead of replacing it.
    """

    def __init__(self, features: int, action: ActionSpec, width: int = 256, predict_change: bool = False) -> None:
        super().__init__(features, state_width=width)
        self.predict_change = predict_change
        self.action = ActionEncoding(action)
        self.cell = nn.GRUCell(features + self.action.width, width)
        self.output = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, features))

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        state = self.cell(torch.cat([latent, self.action(action)], -1), state)
        output = self.output(state)
        return (latent + output if self.predict_change else output), state


class ForwardDynamics(LightningModule):
    """Learns to predict the latent vector of the next observation.

    A normal law of fixed standard deviation 1/sqrt(2 pi) has the negative log-likelihood pi * MSE; the
    factor changes nothing, so the loss is the plain mean squared error: 1 for whitened features means that
    nothing is predicted. The transition out of the last observation of an episode means nothing: it
    carries no weight, and memory is cleared there.

    Args:
        network: The network that predicts.
        encoder: Name of the model whose latents are predicted. Observations of a batch are encoded with
            its current parameters; a batch that holds the field `latent` is taken as it is.
        burn_in: Steps at the start of a sequence that only fill the memory.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
    """

    def __init__(
        self,
        network: DynamicsNetwork,
        encoder: str = "encoder",
        burn_in: int = 0,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.burn_in = int(burn_in)
        self.learning_rate = float(learning_rate)
        self.weight_decay = float(weight_decay)
        self._encoder_name = encoder
        # In a tuple, or the encoder would become a submodule: trained, published and saved twice.
        self._attached: tuple[Encoder, ...] = ()

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Take the encoder from the models of the run."""
        encoder = models.get(self._encoder_name)
        if not isinstance(encoder, Encoder):
            known = ", ".join(name for name, model in models.items() if isinstance(model, Encoder)) or "none"
            raise ValueError(
                f"forward dynamics needs the encoder '{self._encoder_name}'; the encoders here are: {known}"
            )
        self._attached = (encoder,)

    def inference_module(self) -> DynamicsNetwork:
        """Inference needs the network alone."""
        return self.network

    @property
    def trainable(self) -> bool:
        """Whether the latents to predict mean something yet."""
        return all(encoder.ready for encoder in self._attached)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `DynamicsNetwork.forward`."""
        prediction: tuple[Tensor, Tensor] = self.network(latent, action, state)
        return prediction

    def predict_sequence(self, latent: Tensor, action: Tensor, ended: Tensor) -> Tensor:
        """Predict each next step of sequences, with the memory of the steps before.

        Args:
            latent: z_0 ... z_{T-1}, `(batch, T, features)`.
            action: `(batch, T, branches)`.
            ended: Whether an observation is the last of its episode, `(batch, T)` bool.

        Returns:
            Predictions of z_1 ... z_T, `(batch, T, features)`.
        """
        batch, length, features = latent.shape
        if self.network.state_width == 0:
            state = self.network.initial_state(batch * length, latent.device)
            flat: Tensor = self(latent.flatten(0, 1), action.flatten(0, 1), state)[0]
            return flat.view(batch, length, features)
        state = self.network.initial_state(batch, latent.device)
        predictions = []
        for step in range(length):
            prediction, state = self(latent[:, step], action[:, step], state)
            state = state * ~ended[:, step, None]
            predictions.append(prediction)
        return torch.stack(predictions, dim=1)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error over features and over the transitions that count."""
        latent = self._latents(batch)
        if latent.ndim != 3 or latent.shape[1] < self.burn_in + 2:
            raise ValueError(
                f"forward dynamics trains on sequences of at least {self.burn_in + 2} steps, "
                f"(batch, length, features), not on {tuple(latent.shape)}; set sequence_length of its trainer"
            )
        inputs, targets = latent[:, :-1], latent[:, 1:]
        ended = batch["ended"][:, :-1]
        errors = (self.predict_sequence(inputs, batch["action"][:, :-1], ended) - targets).square().mean(-1)
        weight = (~ended).to(errors.dtype)[:, self.burn_in :]
        return (errors[:, self.burn_in :] * weight).sum() / weight.sum().clamp(min=1)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Loss of a batch of sequences, `(batch, length, ...)`."""
        loss = self.loss(batch)
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The same loss, on held-out sequences."""
        loss = self.loss(batch)
        self.log("held_out_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the network."""
        return torch.optim.AdamW(self.network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)

    def _latents(self, batch: Batch) -> Tensor:
        if "latent" in batch:
            return batch["latent"]
        if not self._attached:
            raise RuntimeError(
                "forward dynamics has no encoder yet: call attach_models, or train it on batches that hold 'latent'"
            )
        with torch.no_grad():
            return self._attached[0].encode(batch)
