"""Encoder and dynamics, as other models use them while they train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import torch
from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models.dynamics import DynamicsNetwork, ForwardDynamics
from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.precision import to_float32

ModuleT = TypeVar("ModuleT", bound=LightningModule)


class View(NamedTuple):
    """What encoder and dynamics make of sequences; `T` is what is left of them after the burn-in.

    Attributes:
        latent: z_t, `(batch, T, features)`.
        action: a_t, `(batch, T, branches)`.
        following: The prediction of z_{t+1}, `(batch, T, features)`.
        state: The memory of the dynamics before z_t, `(batch, T, state_width)`.
        weight: 1 where the transition out of z_t means something, else 0, `(batch, T)`.
    """

    latent: Tensor
    action: Tensor
    following: Tensor
    state: Tensor
    weight: Tensor


class WorldModel:
    """Encoder and forward dynamics of a run, in use and not in training.

    It is no module: what holds it must not train, publish or save them a second time.

    Args:
        dynamics: Name of the forward dynamics.
        encoder: Name of the encoder.
    """

    def __init__(self, dynamics: str = "dynamics", encoder: str = "encoder") -> None:
        self._names = {"dynamics": dynamics, "encoder": encoder}
        self._parts: tuple[ForwardDynamics, Encoder] | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> WorldModel:
        """A copy of a model that holds it, such as agents use, needs no copy of the world."""
        return WorldModel(**self._names)

    def attach(self, models: Mapping[str, LightningModule]) -> None:
        """Take both from the models of a run. Raises ValueError for one that is missing or of another kind."""
        dynamics = find_model(models, self._names["dynamics"], ForwardDynamics)
        self._parts = dynamics, find_model(models, self._names["encoder"], Encoder)  # type: ignore[type-abstract]

    @property
    def ready(self) -> bool:
        """Whether latents mean something yet."""
        return self._parts is not None and self._parts[1].ready

    @property
    def network(self) -> DynamicsNetwork:
        """What predicts. Raises RuntimeError before `attach`."""
        return self._attached()[0].network

    @torch.no_grad()
    def look(self, batch: Batch, burn_in: int = 0) -> View:
        """Look at sequences, `(batch, length, *shape)`: fields of the encoder, `action`, `ended`.

        Raises:
            ValueError: For single records, or sequences not longer than `burn_in`.
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
        law, after = network.predict_sequence(latent, action, ended)
        before = torch.cat([network.initial_state(len(latent), latent.device).unsqueeze(1), after[:, :-1]], 1)
        began = torch.cat([torch.zeros_like(ended[:, :1]), ended[:, :-1]], 1)
        before = before.masked_fill(began.unsqueeze(-1), 0)
        everything = View(latent, action, law.mean, before, to_float32(~ended))
        return View(*(value[:, burn_in:] for value in everything))

    def _attached(self) -> tuple[ForwardDynamics, Encoder]:
        if self._parts is None:
            raise RuntimeError("there is no world model yet: call attach_models with encoder and dynamics first")
        return self._parts


def find_model(models: Mapping[str, LightningModule], name: str, kind: type[ModuleT]) -> ModuleT:
    """Return the model `name`. Raises ValueError, with the names of this kind, if there is none."""
    model = models.get(name)
    if not isinstance(model, kind):
        known = ", ".join(other for other, each in models.items() if isinstance(each, kind)) or "none"
        raise ValueError(f"this model needs the {kind.__name__} '{name}'; those of this run are: {known}")
    return model
