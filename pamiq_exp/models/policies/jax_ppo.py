"""Proximal policy optimization in JAX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from pamiq_exp.models.jax_model import JaxModel
from pamiq_exp.models.nn.action_distributions import ActionDistribution, MultiCategorical
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.spaces import ActionSpec, flatten_specs

JaxBatch: TypeAlias = Mapping[str, jax.Array]
"""Named arrays with common leading axes."""

Compute: TypeAlias = Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]
"""From parameters and inputs to logits and values."""


class Dense(eqx.Module):
    """A linear layer with an orthogonal matrix."""

    weight: jax.Array
    bias: jax.Array

    def __init__(self, key: jax.Array, inputs: int, outputs: int, gain: float) -> None:
        self.weight = jax.nn.initializers.orthogonal(gain)(key, (inputs, outputs))
        self.bias = jnp.zeros(outputs)

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """`(..., inputs)` -> `(..., outputs)`."""
        return inputs @ self.weight + self.bias


class Network(eqx.Module):
    """Separate layers for the policy and its value, with tanh between them."""

    policy: list[Dense]
    value: list[Dense]

    def __init__(self, key: jax.Array, inputs: int, hidden: Sequence[int], choices: int) -> None:
        policy, value = jax.random.split(key)
        self.policy = _layers(policy, [inputs, *hidden, choices], last_gain=0.01)
        self.value = _layers(value, [inputs, *hidden, 1], last_gain=1.0)

    def __call__(self, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`(..., inputs)` -> logits `(..., choices)`, value `(...)`."""
        return _run(self.policy, inputs), _run(self.value, inputs).squeeze(-1)


class Surrogate(NamedTuple):
    """The clipped policy loss of one minibatch and its metrics; all scalars."""

    loss: jax.Array
    approx_kl: jax.Array
    clip_fraction: jax.Array


class JaxActorCritic(JaxModel):
    """PPO (Schulman et al. 2017) in JAX: a policy and its value, for vectors and discrete actions.

    It acts in any `PolicyAgent`, and a `JaxOnPolicyTrainer` trains it. `ActorCritic` is the same method in torch, with
    more settings.

    Args:
        inputs: The input fields, all vectors, named as in buffers: `{"observation": ${spaces.observation}}`.
        action: The action space: discrete, with one or several branches.
        seed: Of the initial parameters.
        hidden: Widths of the layers.
        clip: How far the probability ratio of the joint action may move before its gradient ends.
        value_coefficient: Weight of the value loss.
        entropy_coefficient: Weight of the entropy bonus (joint entropy, in nats).

    Raises:
        ValueError: An input is an image, or the actions are continuous.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        seed: int,
        hidden: Sequence[int] = (64, 64),
        clip: float = 0.2,
        value_coefficient: float = 0.5,
        entropy_coefficient: float = 0.0,
    ) -> None:
        fields = flatten_specs(inputs)
        images = [name for name, spec in fields.items() if len(spec["shape"]) > 1]
        if images:
            raise ValueError(f"JaxActorCritic reads vectors, and {images[0]!r} is none: choose policy=ppo")
        nvec = action.get("nvec")
        if not nvec:
            raise ValueError(f"JaxActorCritic takes discrete actions, not {action['kind']!r}: choose policy=ppo")
        width = sum(math.prod(spec["shape"]) for spec in fields.values())
        super().__init__(partial(Network, inputs=width, hidden=tuple(hidden), choices=sum(nvec)), seed)
        self._fields = tuple(fields)
        self._branches = Branches(nvec)
        self._compute = jax.jit(lambda parameters, inputs: eqx.combine(parameters, self.static)(inputs))
        self.clip = float(clip)
        self.value_coefficient = float(value_coefficient)
        self.entropy_coefficient = float(entropy_coefficient)

    def inference_model(self) -> JaxPolicy:
        """The policy with the present parameters."""
        return JaxPolicy(self._compute, self.parameters, self._fields, self._branches)

    def loss(self, parameters: Any, batch: JaxBatch) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Policy loss + value loss - entropy bonus on a minibatch, and what is recorded of it; all scalars.

        The batch holds the inputs, `action (batch, branches)`, and `log_prob`, `advantage`, `return` and `weight`,
        each `(batch)`.
        """
        inputs = jnp.concatenate([batch[name].reshape(len(batch[name]), -1) for name in self._fields], -1)
        logits, value = eqx.combine(parameters, self.static)(inputs)
        log_probs = self._branches.log_probs(logits)
        weight = batch["weight"]
        log_prob = jnp.take_along_axis(log_probs, batch["action"][..., None], -1).squeeze(-1).sum(-1)
        policy = clipped_surrogate(log_prob - batch["log_prob"], batch["advantage"], weight, self.clip)
        value_loss = 0.5 * weighted_mean(jnp.square(value - batch["return"]), weight)
        entropy = weighted_mean(-(jnp.exp(log_probs) * log_probs).sum((-2, -1)), weight)
        loss = policy.loss + self.value_coefficient * value_loss - self.entropy_coefficient * entropy
        metrics = {"policy_loss": policy.loss, "value_loss": value_loss, "entropy": entropy}
        return loss, metrics | {"approx_kl": policy.approx_kl, "clip_fraction": policy.clip_fraction}


class JaxPolicy:
    """A policy in JAX as agents use it: tensors in, a distribution and values out. It never changes.

    Args:
        compute: The network, compiled for each number of environments.
        parameters: Of this publication.
        fields: The input fields, in their order.
        branches: The action space.
    """

    def __init__(self, compute: Compute, parameters: Any, fields: Sequence[str], branches: Branches) -> None:
        self._compute = compute
        self._parameters = parameters
        self._fields = fields
        self._branches = branches

    def __call__(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """Return the distribution over actions and the value, `(num_envs)`."""
        inputs = [batch[name].cpu().numpy().reshape(len(batch[name]), -1) for name in self._fields]
        logits, value = self._compute(self._parameters, np.concatenate(inputs, -1, dtype=np.float32))
        # Copies: torch takes no memory that may not be written.
        return self._branches.distribution(np.array(logits)), torch.from_numpy(np.array(value))


class Branches:
    """The choices of each branch, which the logits of all branches are spread over.

    Args:
        nvec: Number of choices of each branch.
    """

    def __init__(self, nvec: Sequence[int]) -> None:
        choice = np.arange(max(nvec))
        self._allowed = choice < np.asarray(nvec)[:, None]
        starts = np.cumsum([0, *nvec[:-1]])[:, None]
        self._index = np.where(self._allowed, starts + choice, 0)

    def log_probs(self, logits: jax.Array) -> jax.Array:
        """`(..., sum of choices)` -> log-probabilities `(..., branches, choices)`, very small where there is none."""
        spread = jnp.where(self._allowed, logits[..., self._index], jnp.finfo(logits.dtype).min / 4)
        return jax.nn.log_softmax(spread, -1)

    def distribution(self, logits: np.ndarray[Any, np.dtype[np.float32]]) -> MultiCategorical:
        """The distribution over actions of logits `(num_envs, sum of choices)`."""
        spread = torch.from_numpy(logits[..., self._index])
        return MultiCategorical(spread, torch.from_numpy(self._allowed).expand(spread.shape))


def weighted_mean(values: jax.Array, weight: jax.Array) -> jax.Array:
    """Mean of `values` under `weight`, both of one shape; 0 where nothing has weight."""
    return (values * weight).sum() / jnp.maximum(weight.sum(), jnp.finfo(values.dtype).tiny)


def clipped_surrogate(log_ratio: jax.Array, advantage: jax.Array, weight: jax.Array, clip: float) -> Surrogate:
    """The clipped surrogate objective, negated; see `pamiq_exp.models.policies.ppo.clipped_surrogate`."""
    ratio = jnp.exp(log_ratio)
    objective = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)
    divergence = jax.lax.stop_gradient(weighted_mean(ratio - 1 - log_ratio, weight))
    clipped = (jnp.abs(ratio - 1) > clip).astype(ratio.dtype)
    return Surrogate(-weighted_mean(objective, weight), divergence, weighted_mean(clipped, weight))


def _layers(key: jax.Array, widths: Sequence[int], last_gain: float) -> list[Dense]:
    keys = jax.random.split(key, len(widths) - 1)
    gains = [math.sqrt(2)] * (len(widths) - 2) + [last_gain]
    return [Dense(*each) for each in zip(keys, widths[:-1], widths[1:], gains, strict=True)]


def _run(layers: Sequence[Dense], inputs: jax.Array) -> jax.Array:
    for layer in layers[:-1]:
        inputs = jnp.tanh(layer(inputs))
    return layers[-1](inputs)
