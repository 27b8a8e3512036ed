"""Gamma-progress: learning progress against a slow copy (Kim et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pamiq_exp.component import State
from pamiq_exp.models.dynamics import DynamicsNetwork, ForwardDynamics, HorizonDecay
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class GammaProgress(Reward):
    """r = L(theta_old; x) - L(theta; x): the loss of a slow copy of the model minus that of the model.

    Both see the same transition, so its noise cancels to first order. The difference is averaged over the last
    `window` transitions of an environment. Negative values mean forgetting.

    Source: Kim et al. 2020, Active world model learning with progress curiosity, equation 6.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the `ProgressDynamics` model.
        window: Transitions to average over.
    """

    name = "gamma_progress"
    needs_latents = True

    def __init__(self, normalizer: Normalizer | None = None, dynamics: str = "dynamics", window: int = 8) -> None:
        super().__init__(normalizer, parts=("error", "old_error"))
        if window < 1:
            raise ValueError(f"window must be at least 1 transition, not {window}")
        self.window = int(window)
        self._model = NeededModel(dynamics, DynamicsPair, self)
        self._memories: dict[str, torch.Tensor] = {}
        self._differences: NDArray[np.float32] | None = None
        """Last differences of each environment, `(window, num_envs)`; NaN where there is none."""
        self._turn = 0

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        latent, target, valid = transition.latent, transition.next_latent, transition.valid
        if latent is None or target is None:
            return None
        pair = self._model.module
        error = self._loss("new", pair.network, transition, latent, target)
        old_error = self._loss("old", pair.old, transition, latent, target)
        self.note("error", error, valid)
        self.note("old_error", old_error, valid)
        if self._differences is None:
            self._differences = np.full((self.window, len(latent)), np.nan, dtype=np.float32)
        self._differences[self._turn % self.window] = old_error - error
        self._turn += 1
        known = ~np.isnan(self._differences)
        mean: NDArray[np.float32] = np.where(known, self._differences, 0).sum(0) / np.maximum(known.sum(0), 1)
        self._differences[:, ~valid] = np.nan
        return mean.astype(np.float32)

    def state(self) -> State:
        """The window, and the memory of recurrent networks."""
        if self._differences is None:
            return {}
        return {"differences": self._differences, "turn": self._turn, "memories": dict(self._memories)}

    def load_state(self, state: State) -> None:
        """Restore them."""
        self._differences = np.array(state["differences"], dtype=np.float32)
        self._turn = int(state["turn"])
        self._memories = dict(state["memories"])

    def _loss(
        self, name: str, network: DynamicsNetwork, transition: Transition, latent: torch.Tensor, target: torch.Tensor
    ) -> NDArray[np.float32]:
        memory = self._memories.get(name)
        if memory is None:
            memory = network.initial_state(len(latent), latent.device)
        prediction, memory = network.predict(latent, transition.action, memory)
        if network.state_width:
            self._memories[name] = memory * torch.from_numpy(transition.valid).to(memory.device)[:, None]
        loss: NDArray[np.float32] = prediction.loss(target).float().cpu().numpy()
        return loss


class DynamicsPair(nn.Module):
    """A forward dynamics and its exponential moving average.

    Args:
        network: The network.
        old: Its moving average.
    """

    def __init__(self, network: DynamicsNetwork, old: DynamicsNetwork) -> None:
        super().__init__()
        self.network = network
        self.old = old


class ProgressDynamics(ForwardDynamics):
    """Forward dynamics with a slow copy: after each update theta_old <- ema_decay theta_old + (1 - ema_decay) theta.

    Source: Kim et al. 2020, Active world model learning with progress curiosity, section 4.2, where ema_decay is gamma.

    Args:
        network: The network that predicts.
        ema_decay: From 0 to below 1. The copy averages over 1 / (1 - ema_decay) updates, the time scale of progress.
        encoder, burn_in, horizon, horizon_decay, learning_rate, weight_decay: See `ForwardDynamics`.
    """

    def __init__(
        self,
        network: DynamicsNetwork,
        ema_decay: float = 0.9995,
        encoder: str = "encoder",
        burn_in: int = 0,
        horizon: int = 1,
        horizon_decay: HorizonDecay = "exponential",
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            network,
            encoder,
            burn_in,
            horizon,
            horizon_decay,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
        )
        if not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be from 0 to below 1, not {ema_decay}")
        self.ema_decay = float(ema_decay)
        self.old = deepcopy(network).requires_grad_(False)

    def inference_module(self) -> DynamicsPair:  # type: ignore[override]
        """Inference needs both networks."""
        return DynamicsPair(self.network, self.old)

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Update the moving average."""
        for old, new in zip(self.old.parameters(), self.network.parameters(), strict=True):
            old.lerp_(new, 1 - self.ema_decay)
        for old_buffer, new_buffer in zip(self.old.buffers(), self.network.buffers(), strict=True):
            old_buffer.copy_(new_buffer)
