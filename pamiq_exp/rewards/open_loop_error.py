"""Error of predictions several steps ahead as intrinsic reward."""

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

    Predictions further ahead are rolled out from predictions, with the actions that were taken in the meantime. While
    fewer than K exist, their weights are scaled to sum to 1. Predictions made before the encoder changed, or before
    an episode began, are not scored. The dynamics must be trained with the same horizon and weights.

    At large k the error of chaotic content is its variance.

    Source: the K-step rewards of P-AMI<Q> (2024); the open-loop error is that of Guo et al. 2022, BYOL-Explore,
    without its normalization.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics.
        horizon: K.
        horizon_decay: How the weights fall with k; see `horizon_weights`.
    """

    name = "open_loop_error"

    def __init__(
        self,
        normalizer: Normalizer | None = None,
        dynamics: str = "dynamics",
        horizon: int = 3,
        horizon_decay: HorizonDecay = "exponential",
    ) -> None:
        self.weights = np.array(horizon_weights(horizon, horizon_decay), dtype=np.float32)[:, None]
        super().__init__(normalizer, dynamics, parts=[f"{ahead}_ahead" for ahead in range(1, horizon + 1)])
        self._predicted: torch.Tensor | None = None
        """Predictions of the current latent vector, made 1 ... K steps ago, `(K, num_envs, features)`."""
        self._states: torch.Tensor | None = None
        """The memory that belongs to each of them, `(K, num_envs, state_width)`."""
        self._age: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        """Consecutive transitions in each environment since its first usable prediction, `(num_envs,)`."""

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        latent, target, valid = transition.latent, transition.next_latent, transition.valid
        if latent is None or target is None:
            self._predicted = None
            return None
        self._begin(latent, fresh=transition.encoder_changed)
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
        """Predictions that are not scored yet, and their memory."""
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
        """Advance all predictions by one step, and return their errors, `(K, num_envs)`.

        Slot k continues the prediction of slot k - 1, with the memory of slot k - 1.
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
