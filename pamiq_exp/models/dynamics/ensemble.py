"""Ensembles of forward dynamics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pamiq_exp.models.dynamics.network import DynamicsNetwork, HeadedDynamics
from pamiq_exp.models.dynamics.predictions import Prediction


class _Member(nn.Module):
    """One `forward` for steps and sequences, as `torch.func.functional_call` needs it."""

    def __init__(self, network: HeadedDynamics) -> None:
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, action: Tensor, ended: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        """The parameters of the distributions of a step, or of sequences where `ended` is given, and the memory."""
        if ended is None:
            return self.network.parameters_of_step(latent, action, state)
        return self.network.parameters_of_sequence(latent, action, ended, state)


class EnsembleDynamics(DynamicsNetwork):
    """Networks of one class with different initial weights, run as one with `torch.func`.

    Predictions have one more leading axis: `predict(...)[0].mean` is `(members, batch, features)`. The disagreement
    (epistemic variance) is `prediction.mean.var(0, correction=0)`, the predicted noise (aleatoric variance)
    `prediction.variance.mean(0)`; their sum is the variance of the mixture of all members. `forward` returns the mean
    of the members' means.

    Each parameter of all members is one tensor with a leading axis of members; buffers are common to all.

    Args:
        member: Makes one member.
        count: Number of members.

    Raises:
        ValueError: For fewer than 2 members, or a member that `torch.func.vmap` cannot run.
    """

    def __init__(self, member: Callable[[], HeadedDynamics], count: int = 5) -> None:
        if count < 2:
            raise ValueError(f"an ensemble needs at least 2 members, not {count}")
        networks = [member() for _ in range(count)]
        first = networks[0]
        if any(isinstance(module, nn.RNNBase) for module in first.modules()):
            raise ValueError("members of an ensemble cannot have torch's GRU; choose another core, like qgru")
        super().__init__(first.features, count * first.state_width)
        self.count = int(count)
        self._member_state = first.state_width
        stacked, _ = torch.func.stack_module_state(networks)
        self.member = _Member(first)
        for name, value in stacked.items():
            module, _, last = name.rpartition(".")
            setattr(first.get_submodule(module), last, nn.Parameter(value.detach(), value.requires_grad))

    def initial_state(self, batch_size: int, device: torch.device | str | None = None) -> Tensor:
        """See the base class."""
        return self.member.network.initial_state(batch_size, device).repeat(1, self.count)

    def forward(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See the base class."""
        prediction, state = self.predict(latent, action, state)
        return prediction.mean.mean(0), state

    def predict(self, latent: Tensor, action: Tensor, state: Tensor) -> tuple[Prediction, Tensor]:
        """See the base class. With `latent` of `(members, batch, features)`, each continues its own."""
        result: tuple[Prediction, Tensor] = self._run(latent, action, None, state)
        return result

    def predict_sequence(
        self, latent: Tensor, action: Tensor, ended: Tensor, state: Tensor | None = None
    ) -> tuple[Prediction, Tensor]:
        """See the base class; predictions are `(members, batch, T, features)`."""
        if state is None:
            state = self.initial_state(len(latent), latent.device)
        result: tuple[Prediction, Tensor] = self._run(latent, action, ended, state)
        return result

    # Compilers cannot trace a gradient written by hand, like that of a scan, through vmap.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _run(self, latent: Tensor, action: Tensor, ended: Tensor | None, state: Tensor) -> tuple[Prediction, Tensor]:
        def one(parameters: dict[str, Tensor], latent: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
            result: tuple[Tensor, Tensor] = torch.func.functional_call(
                self.member, parameters, (latent, action, ended, state)
            )
            return result

        steps = 2 if ended is None else 3
        in_dims = (0, None if latent.ndim == steps else 0, 0)
        own = state.reshape(*state.shape[:-1], self.count, self._member_state).movedim(-2, 0)
        together = torch.func.vmap(one, in_dims, randomness="different")
        parameters, after = together(dict(self.member.named_parameters()), latent, own)
        return self.member.network.distribution(parameters, latent), after.movedim(0, -2).flatten(-2)
