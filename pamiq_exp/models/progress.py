"""A forward model and what it was some time ago."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from pamiq_exp.models.dynamics import DynamicsNetwork, ForwardDynamics, HorizonDecay
from pamiq_exp.models.inputs import Batch


class TwoAges(nn.Module):
    """A network as it is, and a copy that follows it slowly.

    Args:
        network: As it is.
        old: As it was.
    """

    def __init__(self, network: DynamicsNetwork, old: DynamicsNetwork) -> None:
        super().__init__()
        self.network = network
        self.old = old


class ProgressDynamics(ForwardDynamics):
    """Forward dynamics with a slow copy: after each update theta_old <- g theta_old + (1 - g) theta.

    Source: Kim et al. 2020, Active world model learning with progress curiosity, section 4.2 (gamma-progress).

    Args:
        network: The network that predicts.
        slowness: 1 / (1 - g): updates over which the copy averages. It sets the time scale of progress.
        encoder, burn_in, horizon, horizon_decay, learning_rate, weight_decay: See `ForwardDynamics`.
    """

    def __init__(
        self,
        network: DynamicsNetwork,
        slowness: float = 2000,
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
        if slowness < 1:
            raise ValueError(f"slowness must be at least 1 update, not {slowness}")
        self.slowness = float(slowness)
        self.old = deepcopy(network).requires_grad_(False)

    def inference_module(self) -> TwoAges:  # type: ignore[override]
        """Inference needs both."""
        return TwoAges(self.network, self.old)

    @torch.no_grad()
    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Let the copy follow."""
        share = 1 / self.slowness
        for old, new in zip(self.old.parameters(), self.network.parameters(), strict=True):
            old.lerp_(new, share)
        for kept, present in zip(self.old.buffers(), self.network.buffers(), strict=True):
            kept.copy_(present)
