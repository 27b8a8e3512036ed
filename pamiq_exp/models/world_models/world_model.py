"""World model: an encoder and a forward dynamics, used without gradients by models that learn from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models.dynamics import DynamicsNetwork, ForwardDynamics
from pamiq_exp.models.dynamics.latent_model import find_model
from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.models.nn.sequences import episode_starts


class Context(NamedTuple):
    """Latent vectors, predictions and memory at each of the `T` steps of sequences after the burn-in.

    Attributes:
        latent: z_t, `(batch, T, features)`.
        action: a_t, `(batch, T, branches)`.
        prediction: Of z_{t+1}, `(batch, T, features)`.
        state: The memory of the dynamics before z_t, `(batch, T, state_width)`.
        weight: 0 where o_t is the last of its episode, else 1, `(batch, T)`.
    """

    latent: Tensor
    action: Tensor
    prediction: Tensor
    state: Tensor
    weight: Tensor


class WorldModel:
    """Encoder and forward dynamics of a run, used without gradients.

    Not a module: the model that has it must not train, publish or save them a second time.

    Args:
        dynamics: Name of the forward dynamics.
        encoder: Name of the encoder.
    """

    def __init__(self, dynamics: str = "dynamics", encoder: str = "encoder") -> None:
        self._names = {"dynamics": dynamics, "encoder": encoder}
        self._parts: tuple[ForwardDynamics, Encoder] | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> WorldModel:
        """Inference copies of a model that has it need no copy of encoder and dynamics."""
        return WorldModel(**self._names)

    def attach(self, models: Mapping[str, LightningModule]) -> None:
        """Find both among the models of a run. Raises ValueError for one that is missing or of another class."""
        dynamics = find_model(models, self._names["dynamics"], ForwardDynamics, "a world model")
        encoder = find_model(models, self._names["encoder"], Encoder, "a world model")  # type: ignore[type-abstract]
        self._parts = dynamics, encoder

    @property
    def warmed_up(self) -> bool:
        """Whether the encoder is warmed up; False before `attach`."""
        return self._parts is not None and self._parts[1].warmed_up

    @property
    def network(self) -> DynamicsNetwork:
        """The network of the dynamics. Raises RuntimeError before `attach`."""
        return self._attached()[0].network

    @torch.no_grad()
    def encode_context(self, batch: Batch, burn_in: int = 0) -> Context:
        """Encode sequences, `(batch, length, *shape)`: fields of the encoder (or `latent`), `action`, `ended`.

        Raises:
            ValueError: For single transitions, or sequences not longer than `burn_in`.
        """
        dynamics, encoder = self._attached()
        network = dynamics.network
        action, ended = batch["action"], batch["ended"]
        if ended.ndim != 2 or ended.shape[1] <= burn_in:
            raise ValueError(
                f"imagination starts from sequences of more than {burn_in} steps, not from {tuple(ended.shape)}; "
                "set sequence_length of the trainer"
            )
        latent = batch["latent"] if "latent" in batch else encoder.encode(batch)
        prediction, after = network.predict_sequence(latent, action, ended)
        before = torch.cat([network.initial_state(len(latent), latent.device).unsqueeze(1), after[:, :-1]], 1)
        before = before.masked_fill(episode_starts(ended).unsqueeze(-1), 0)
        context = Context(latent, action, prediction.mean, before, to_float32(~ended))
        return Context(*(value[:, burn_in:] for value in context))

    def _attached(self) -> tuple[ForwardDynamics, Encoder]:
        if self._parts is None:
            raise RuntimeError("there is no world model yet: call attach_models with encoder and dynamics first")
        return self._parts
