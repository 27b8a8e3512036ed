"""Features in which random goals are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.layers import ActivationName, FieldsNetwork, orthogonal
from pamiq_exp.models.moments import RunningMoments
from pamiq_exp.models.policy_value import PolicyValueNetwork
from pamiq_exp.spaces import flatten_specs


class GoalFeatures(nn.Module):
    """A trunk, a fixed random last layer, and the running statistics that standardise what it gives.

    Args:
        body: The trunk.
        features: Numbers in a goal.
    """

    def __init__(self, body: FieldsNetwork, features: int) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.head = orthogonal(nn.Linear(body.width, features)).requires_grad_(False)
        self.moments = RunningMoments(features)

    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, `(..., features)`; inputs that are no observation (the goal) count as zeros."""
        return self.moments.whiten(self.raw(batch), epsilon=1e-6)

    def raw(self, batch: Batch) -> Tensor:
        """The same before standardisation."""
        seen = {name: batch[name] for name in self.body.fields if name.startswith("observation.")}
        first, spec = next((value, self.body.fields[name]) for name, value in seen.items())
        leading = first.shape[: first.ndim - len(spec["shape"])]
        told = {
            name: torch.zeros(*leading, *spec["shape"], device=first.device)
            for name, spec in self.body.fields.items()
            if name not in seen
        }
        features: Tensor = self.head(self.body(seen | told))
        return features


class RandomGoals(LightningModule):
    """Follows the trunk of the policy's value slowly, and keeps the statistics of its random features.

    Its `training_step` learns nothing by gradients: theta <- (1 - tau) theta + tau theta_value.

    Source: Mahankali et al. 2024, Random latent exploration for deep reinforcement learning, section 4.

    Args:
        inputs, channels, hidden, activation: Those of the policy's network: `${models.policy.network.inputs}`, ...
        features: Numbers in a goal.
        policy: Name of the policy, with a `PolicyValueNetwork`.
        share: tau.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (256,),
        activation: ActivationName = "relu",
        features: int = 16,
        policy: str = "policy",
        share: float = 0.005,
    ) -> None:
        super().__init__()
        self.network = GoalFeatures(FieldsNetwork(flatten_specs(inputs), channels, hidden, activation), features)
        self.share = float(share)
        self._policy_name = policy
        self._trunk: tuple[FieldsNetwork, ...] = ()
        self.automatic_optimization = False

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Find the trunk to follow, and begin as it is. Raises ValueError for one of another shape."""
        network = getattr(models.get(self._policy_name), "network", None)
        if not isinstance(network, PolicyValueNetwork):
            raise ValueError(f"random goals follow the value of '{self._policy_name}', which must be feed-forward")
        trunk = network.body if network.value_body is None else network.value_body
        try:
            self.network.body.load_state_dict(trunk.state_dict())
        except RuntimeError as error:
            raise ValueError(f"random goals need the inputs and widths of '{self._policy_name}': {error}") from error
        self._trunk = (trunk,)

    def inference_module(self) -> GoalFeatures:
        """Inference needs the features alone."""
        return self.network

    def forward(self, batch: Batch) -> Tensor:
        """See `GoalFeatures.forward`."""
        features: Tensor = self.network(batch)
        return features

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Move on by one step and take in the features of `(batch, *shape)` observations."""
        for trunk in self._trunk:
            for slow, fast in zip(self.network.body.parameters(), trunk.parameters(), strict=True):
                slow.lerp_(fast, self.share)
        self.network.moments.update(self.network.raw(batch).flatten(0, -2))
        self.log("feature_std", self.network.moments.std.mean())

    def configure_optimizers(self) -> None:
        """Nothing here is learned by gradients."""
