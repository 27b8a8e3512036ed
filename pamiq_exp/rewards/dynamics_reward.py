"""Base class of rewards that use a forward dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from pamiq_exp.component import State
from pamiq_exp.models import DynamicsNetwork, Prediction
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class DynamicsReward(Reward):
    """Base class of rewards that compare the prediction of a forward dynamics with the next latent vector.

    It keeps the memory of a recurrent dynamics from turn to turn. There is no reward until the encoder is warmed up.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics.
        parts: See `Reward`.
    """

    needs_latents = True

    def __init__(
        self, normalizer: Normalizer | None = None, dynamics: str = "dynamics", parts: Sequence[str] = ()
    ) -> None:
        super().__init__(normalizer, parts)
        self._dynamics = NeededModel(dynamics, DynamicsNetwork, self)  # type: ignore[type-abstract]
        self._memory: torch.Tensor | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._dynamics.attach(models)

    def predict(self, transition: Transition) -> tuple[Prediction, torch.Tensor] | None:
        """Return the predicted distribution of z_{t+1}, and z_{t+1}; None before the encoder is warmed up."""
        latent, target = transition.latent, transition.next_latent
        if latent is None or target is None:
            return None
        network = self._dynamics.module
        memory = self._memory
        if memory is None:
            memory = network.initial_state(len(latent), latent.device)
        prediction, memory = network.predict(latent, transition.action, memory)
        if network.state_width:
            valid = torch.from_numpy(transition.valid).to(memory.device)
            self._memory = memory * valid.view(-1, *(1 for _ in memory.shape[1:]))
        return prediction, target

    def state(self) -> State:
        """The memory of a recurrent dynamics."""
        return {} if self._memory is None else {"memory": self._memory}

    def load_state(self, state: State) -> None:
        """Restore the memory."""
        self._memory = state["memory"]


def member_means(means: torch.Tensor, target: torch.Tensor, reward: Reward) -> torch.Tensor:
    """Return the means of an ensemble, `(members, num_envs, features)`. Raises TypeError for a single model."""
    if means.ndim != target.ndim + 1:
        raise TypeError(
            f"{type(reward).__name__} needs an ensemble of forward dynamics, and got a single one: choose "
            "dynamics=ensemble (pamiq_exp.models.EnsembleDynamics)"
        )
    return means
