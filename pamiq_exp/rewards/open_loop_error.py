"""Curiosity about what was not foreseen several steps ahead."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.models.dynamics import HorizonDecay, horizon_weights
from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.transition import Transition


class OpenLoopError(DynamicsReward):
    """r = sum_k w_k e_k, where e_k is the error of the prediction of z_{t+1} made k steps earlier, k = 1 ... K.

    Predictions further ahead go on from predictions, with the actions that were done in the meantime. Until K of
    them exist the weights of those that do are scaled up to 1. Predictions made before the encoder changed, or
    before an episode began, are not scored. The dynamics must be trained with the same horizon and weights.

    At large k the error of chaotic content is its variance: then r tells how busy the scene is.

    Source: the K-step rewards of P-AMI<Q> (2024); the open-loop error is that of Guo et al. 2022, BYOL-Explore,
    without its normalization.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the model that predicts.
        horizon: K.
        decay: How the weights fall with k; see `horizon_weights`.
    """

    name = "open_loop_error"

    def __init__(
        self,
        normalizer: Normalizer | None = None,
        dynamics: str = "dynamics",
        horizon: int = 3,
        decay: HorizonDecay = "exponential",
    ) -> None:
        self.weights = np.array(horizon_weights(horizon, decay), dtype=np.float32)[:, None]
        super().__init__(normalizer, dynamics, parts=[f"{ahead}_ahead" for ahead in range(1, horizon + 1)])
        self._predicted: torch.Tensor | None = None
        """What was foreseen of the present moment 1 ... K steps ago, `(K, num_envs, features)`."""
        self._states: torch.Tensor | None = None
        """The memories that belong to these predictions, `(K, num_envs, state_width)`."""
        self._age: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """Consecutive transitions of each environment behind its predictions."""

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        latent, target, valid = transition.latent, transition.next_latent, transition.valid
        if latent is None or target is None:
            self._predicted = None
            return None
        self._begin(latent, fresh=transition.latents_moved)
        assert self._predicted is not None
        assert self._states is not None
        errors = self._advance(latent, transition.action, target)
        usable = self._age >= np.arange(len(self.weights))[:, None]
        for ahead, part in enumerate(self._parts.values()):
            part.add(errors[ahead][usable[ahead] & valid])
        weights = self.weights * usable
        reward: NDArray[np.float32] = (weights * errors).sum(0) / weights.sum(0)
        self._age = np.where(valid, self._age + 1, 0)
        self._states = self._states * torch.from_numpy(valid).to(latent.device)[:, None]
        return reward

    def state(self) -> State:
        """Predictions whose time has not come, and their memories."""
        if self._predicted is None:
            return {}
        return {"predicted": self._predicted, "states": self._states, "age": self._age}

    def load_state(self, state: State) -> None:
        """Restore the predictions."""
        self._predicted, self._states = state["predicted"], state["states"]
        self._age = np.array(state["age"], dtype=np.int64)

    def _begin(self, latent: torch.Tensor, *, fresh: bool) -> None:
        num_envs, depth = len(latent), len(self.weights)
        if self._predicted is None:
            network = self._dynamics.module
            self._predicted = torch.zeros(depth, *latent.shape, device=latent.device)
            self._states = network.initial_state(depth * num_envs, latent.device).view(
                depth, num_envs, network.state_width
            )
            fresh = True
        if fresh:
            self._age = np.zeros(num_envs, dtype=np.int64)

    def _advance(self, latent: torch.Tensor, action: torch.Tensor, target: torch.Tensor) -> NDArray[np.float32]:
        """Move all predictions one step on, and return their errors about the present, `(K, num_envs)`.

        Slot k continues what slot k - 1 predicted; its memory is the one that slot k - 1 was left with.
        """
        assert self._predicted is not None
        assert self._states is not None
        depth, num_envs = self._predicted.shape[:2]
        inputs = torch.cat([latent[None], self._predicted[:-1]])
        states = torch.cat([self._states[:1], self._states[:-1]])
        actions = action.expand(depth, *action.shape).flatten(0, 1)
        predicted, after = self._dynamics.module(inputs.flatten(0, 1), actions, states.flatten(0, 1))
        self._predicted = predicted.reshape(depth, num_envs, -1)
        self._states = after.reshape(depth, num_envs, after.shape[-1])
        errors: NDArray[np.float32] = (target - self._predicted).square().mean(-1).float().cpu().numpy()
        return errors
