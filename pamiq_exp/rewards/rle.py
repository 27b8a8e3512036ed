"""Random latent exploration (Mahankali et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.component import State
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork, orthogonal
from pamiq_exp.models.nn.running_moments import RunningMoments
from pamiq_exp.models.policies.networks import PolicyValueNetwork
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import flatten_specs


class RandomLatentExploration(Reward):
    """r = phi(o_{t+1}) . z / |phi(o_{t+1})| for a random unit vector z, drawn anew every `segment` turns.

    Not a measure of novelty: over random z it always has mean 0 and standard deviation 1 / sqrt(d). z is an input of
    the policy (field `goal`), and returns are cut where it changes. It changes at different turns in different
    environments.

    Source: Mahankali et al. 2024, Random latent exploration for deep reinforcement learning, algorithm 1.

    Args:
        num_envs: Number of reward streams.
        seed: Of the goals.
        normalizer: How the raw reward is scaled.
        features: d, size of a goal: `${models.random_goals.features}`.
        segment: Turns between two changes of the goal.
        model: Name of the `RandomGoals` model.
    """

    name = "rle"

    def __init__(
        self,
        num_envs: int,
        seed: int,
        normalizer: Normalizer | None = None,
        features: int = 16,
        segment: int = 500,
        model: str = "random_goals",
    ) -> None:
        super().__init__(normalizer)
        if segment < 1:
            raise ValueError(f"segment must be at least 1 turn, not {segment}")
        self.segment = int(segment)
        self._generator = numpy_generator(seed)
        self._model = NeededModel(model, GoalFeatures, self)
        self._goals = self._draw(num_envs, features)
        self._ages: NDArray[np.int64] = np.arange(num_envs) * self.segment // num_envs
        self._changed = np.zeros(num_envs, dtype=np.bool_)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._model.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32]:
        """See the base class."""
        features = self._model.module(transition.observation).float().cpu().numpy()
        along = np.einsum("lf,lf->l", features, self._goals)
        reward: NDArray[np.float32] = along / np.maximum(np.linalg.norm(features, axis=1), 1e-8)
        self._ages += 1
        self._changed = (self._ages >= self.segment) | ~transition.valid
        self._ages[self._changed] = 0
        self._goals[self._changed] = self._draw(int(self._changed.sum()), self._goals.shape[1])
        return reward.astype(np.float32)

    def policy_inputs(self, num_envs: int, device: torch.device) -> dict[str, torch.Tensor]:
        """`goal`: z, `(num_envs, features)`."""
        return {"goal": torch.from_numpy(self._goals.copy()).to(device)}

    def cuts(self) -> NDArray[np.bool_]:
        """Environments whose goal has just changed."""
        return self._changed

    def state(self) -> State:
        """Goals and their ages."""
        return {"goals": self._goals, "ages": self._ages, "changed": self._changed}

    def load_state(self, state: State) -> None:
        """Restore the goals."""
        self._goals = np.array(state["goals"], dtype=np.float32)
        self._ages = np.array(state["ages"], dtype=np.int64)
        self._changed = np.array(state["changed"], dtype=np.bool_)

    def _draw(self, count: int, features: int) -> NDArray[np.float32]:
        directions: NDArray[Any] = self._generator.standard_normal((count, features))
        unit: NDArray[np.float32] = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
        return unit


class GoalFeatures(nn.Module):
    """phi: a trunk, a fixed random last layer, and running statistics that standardize its output.

    Args:
        body: The trunk.
        features: Size of a goal.
    """

    def __init__(self, body: FieldsNetwork, features: int) -> None:
        super().__init__()
        self.body = body.requires_grad_(False)
        self.head = orthogonal(nn.Linear(body.width, features)).requires_grad_(False)
        self.moments = RunningMoments(features)

    def forward(self, batch: Batch) -> Tensor:
        """Standardized features, `(..., features)`; inputs that are not observations (the goal) are zeros."""
        return self.moments.whiten(self.raw(batch), epsilon=1e-6)

    def raw(self, batch: Batch) -> Tensor:
        """The features before standardization."""
        seen = {name: batch[name] for name in self.body.fields if name.startswith("observation.")}
        first, spec = next((value, self.body.fields[name]) for name, value in seen.items())
        leading = first.shape[: first.ndim - len(spec["shape"])]
        others = {
            name: torch.zeros(*leading, *spec["shape"], device=first.device)
            for name, spec in self.body.fields.items()
            if name not in seen
        }
        features: Tensor = self.head(self.body(seen | others))
        return features


class RandomGoals(LightningModule):
    """Moving average of the value network's trunk, and running statistics of its random features.

    `training_step` has no gradients: theta <- ema_decay theta + (1 - ema_decay) theta_value.

    Source: Mahankali et al. 2024, Random latent exploration for deep reinforcement learning, section 4.

    Args:
        inputs, channels, hidden, activation, patch, normalize_inputs: Those of the policy's network:
            `${models.policy.network.inputs}`, ...
        features: Size of a goal.
        policy: Name of the policy, with a `PolicyValueNetwork`.
        ema_decay: 1 - tau of the paper.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (256,),
        activation: ActivationName = "relu",
        patch: int = 1,
        normalize_inputs: bool = False,
        features: int = 16,
        policy: str = "policy",
        ema_decay: float = 0.995,
    ) -> None:
        super().__init__()
        fields = flatten_specs(inputs)
        body = FieldsNetwork(fields, channels, hidden, activation, patch=patch, normalize=normalize_inputs)
        self.network = GoalFeatures(body, features)
        self.ema_decay = float(ema_decay)
        self._policy_name = policy
        self._trunk: tuple[FieldsNetwork, ...] = ()
        self.automatic_optimization = False

    def attach_models(self, models: Mapping[str, LightningModule]) -> None:
        """Find the trunk and copy it. Raises ValueError for one of another shape."""
        network = getattr(models.get(self._policy_name), "network", None)
        if not isinstance(network, PolicyValueNetwork):
            raise ValueError(f"random goals need a feed-forward policy (PolicyValueNetwork) as '{self._policy_name}'")
        trunk = network.body if network.value_body is None else network.value_body
        try:
            self.network.body.load_state_dict(trunk.state_dict())
        except RuntimeError as error:
            raise ValueError(f"random goals need the inputs and widths of '{self._policy_name}': {error}") from error
        self._trunk = (trunk,)

    def inference_module(self) -> GoalFeatures:
        """Inference needs only the features."""
        return self.network

    def forward(self, batch: Batch) -> Tensor:
        """See `GoalFeatures.forward`."""
        features: Tensor = self.network(batch)
        return features

    @torch.no_grad()
    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Update the moving average, and the statistics with `(batch, *shape)` observations."""
        for trunk in self._trunk:
            for slow, fast in zip(self.network.body.parameters(), trunk.parameters(), strict=True):
                slow.lerp_(fast, 1 - self.ema_decay)
            for own, current in zip(self.network.body.buffers(), trunk.buffers(), strict=True):
                own.copy_(current)
        self.network.moments.update(self.network.raw(batch).flatten(0, -2))
        self.log("feature_std", self.network.moments.std.mean())

    def configure_optimizers(self) -> None:
        """No optimizer."""
