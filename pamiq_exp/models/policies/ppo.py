"""Proximal policy optimization as a LightningModule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from lightning import LightningModule
from torch import Tensor

from pamiq_exp.models.nn.action_distributions import ActionDistribution
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.policies.learning_rate import LearningRateSchedule, require_schedule, scheduled_adam
from pamiq_exp.models.policies.networks import PolicyNetwork

_MINIBATCH_FIELDS = ("action", "log_prob", "value", "advantage", "return", "weight")


@dataclass(frozen=True)
class SurrogateLoss:
    """The clipped policy loss of one minibatch and its metrics; all scalars."""

    loss: Tensor
    approximate_kl: Tensor
    clip_fraction: Tensor


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of `values` under `weight`, both of one shape; 0 where nothing has weight.

    Raises ValueError for unequal shapes: `(batch, 1)` against `(batch,)` would broadcast silently.
    """
    if values.shape != weight.shape:
        raise ValueError(f"values {tuple(values.shape)} and weights {tuple(weight.shape)} must have the same shape")
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(values.dtype).tiny)


def clipped_surrogate(log_ratio: Tensor, advantage: Tensor, weight: Tensor, clip: float) -> SurrogateLoss:
    """The clipped surrogate objective, negated; all arguments of one shape.

    Sources: Schulman et al. 2017, Proximal policy optimization, equation 7; for the estimate of the
    Kullback-Leibler divergence, mean(ratio - 1 - log ratio), Schulman 2020, Approximating KL divergence.
    """
    ratio = log_ratio.exp()
    objective = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    with torch.no_grad():
        approximate_kl = weighted_mean(ratio - 1 - log_ratio, weight)
        clip_fraction = weighted_mean(((ratio - 1).abs() > clip).to(ratio.dtype), weight)
    return SurrogateLoss(-weighted_mean(objective, weight), approximate_kl, clip_fraction)


class ActorCritic(LightningModule):
    """PPO (Schulman et al. 2017): a policy and its value, trained on the minibatches of an `OnPolicyTrainer`.

    A minibatch holds the inputs of the network, `action (..., branches)`, and `log_prob`, `value`,
    `advantage`, `return`, `weight`, each `(...)`, where the leading axes are `(batch,)`, or
    `(batch, sequence)` for a network that remembers; transitions of weight 0 are in no mean. If the network has
    several values, `value` and `return` have one more axis; the value loss is the sum of those of all streams.

    Args:
        network: Policy and value.
        clip: How far the probability ratio may move before its gradient ends.
        value_coefficient: Weight of the value loss, whose errors are in the scale of the network's value: in
            standard deviations of returns, unless it learns returns as they are.
        entropy_coefficient: Weight of the entropy bonus (joint entropy, in nats).
        value_clip: How far a value may move from the recorded one before its gradient ends, in standard
            deviations of the returns seen so far; None for no limit.
        ratio: Clip the ratio of the joint action, or of each branch by itself (then the batch must hold
            `branch_log_prob (..., branches)`, and losses are means over branches).
        learning_rate: Of Adam.
        learning_rate_schedule: `linear` lets the learning rate fall to 0 over the optimizer steps of the whole run;
            `constant` keeps it.
    """

    def __init__(
        self,
        network: PolicyNetwork,
        clip: float = 0.2,
        value_coefficient: float = 0.5,
        entropy_coefficient: float = 0.01,
        value_clip: float | None = None,
        ratio: Literal["joint", "branch"] = "joint",
        learning_rate: float = 3e-4,
        learning_rate_schedule: LearningRateSchedule = "constant",
    ) -> None:
        super().__init__()
        if ratio not in ("joint", "branch"):
            raise ValueError(f"ratio must be 'joint' or 'branch', not {ratio!r}")
        self.network = network
        self._counting = tuple(body for body in network.bodies() if body.normalizers)
        self.clip = float(clip)
        self.value_coefficient = float(value_coefficient)
        self.entropy_coefficient = float(entropy_coefficient)
        self.value_clip = None if value_clip is None else float(value_clip)
        self.ratio = ratio
        self.learning_rate = float(learning_rate)
        self.learning_rate_schedule = require_schedule(learning_rate_schedule)

    def inference_module(self) -> PolicyNetwork:
        """Inference needs only the network."""
        return self.network

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """See `PolicyNetwork.forward`."""
        output: tuple[ActionDistribution, Tensor] = self.network(batch)
        return output

    def observe_returns(self, returns: Tensor) -> None:
        """Update the scale of values with the returns of a new rollout, `(n,)` or `(n, streams)`, each of them once."""
        self.network.value.observe(returns)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Policy loss + value loss - entropy bonus on one minibatch."""
        self._require_fields(batch)
        weight = batch["weight"]
        for body in self._counting:
            body.count_inputs(batch)
        distribution, value = self.network(batch)
        policy = self._policy_loss(distribution, batch)
        value_loss = self._value_loss(value, batch)
        branch_entropy = distribution.branch_entropy()
        entropy = weighted_mean(branch_entropy.sum(-1), weight)
        bonus = entropy / branch_entropy.shape[-1] if self.ratio == "branch" else entropy
        loss = policy.loss + self.value_coefficient * value_loss - self.entropy_coefficient * bonus
        self.log_dict(
            {
                "loss": loss,
                "policy_loss": policy.loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "approx_kl": policy.approximate_kl,
                "clip_fraction": policy.clip_fraction,
            }
        )
        self._log_values(batch)
        if branch_entropy.shape[-1] > 1:
            means = [weighted_mean(each, weight) for each in branch_entropy.detach().unbind(-1)]
            self.log_dict({f"entropy_{branch}": mean for branch, mean in enumerate(means)})
        return loss

    def on_train_epoch_end(self) -> None:
        """Normalize inputs by all that was seen from the next rollout on."""
        for body in self._counting:
            body.refresh_inputs()

    def configure_optimizers(self) -> Any:
        """See `scheduled_adam`."""
        return scheduled_adam(self, self.network.parameters(), self.learning_rate, self.learning_rate_schedule)

    def _policy_loss(self, distribution: ActionDistribution, batch: Batch) -> SurrogateLoss:
        advantage, weight = batch["advantage"], batch["weight"]
        if self.ratio == "joint":
            log_ratio = distribution.log_prob(batch["action"]) - batch["log_prob"]
            return clipped_surrogate(log_ratio, advantage, weight, self.clip)
        if "branch_log_prob" not in batch:
            raise KeyError("ratio: branch needs the field 'branch_log_prob', (branches), in the rollout buffer")
        log_ratio = distribution.branch_log_prob(batch["action"]) - batch["branch_log_prob"]
        advantage, weight = (value.unsqueeze(-1).expand_as(log_ratio) for value in (advantage, weight))
        return clipped_surrogate(log_ratio, advantage, weight, self.clip)

    def _value_loss(self, value: Tensor, batch: Batch) -> Tensor:
        head, target, recorded = self.network.value, batch["return"], batch["value"]
        error = (value - target).square()
        if self.value_clip is not None:
            limit = (self.value_clip * head.return_std).to(value.dtype)
            limited = recorded + torch.clamp(value - recorded, -limit, limit)
            error = torch.maximum(error, (limited - target).square())
        error = error / head.scale.square().to(value.dtype)
        return 0.5 * weighted_mean(error.sum(-1) if head.streams else error, batch["weight"])

    def _log_values(self, batch: Batch) -> None:
        head = self.network.value
        value, target, std = batch["value"], batch["return"], head.return_std
        if not head.streams:
            value, target, std = value.unsqueeze(-1), target.unsqueeze(-1), std.unsqueeze(-1)
        for index, stream in enumerate(head.streams or ("",)):
            suffix = f"_{stream}" if stream else ""
            explained = explained_variance(value[..., index], target[..., index], batch["weight"])
            self.log_dict({f"explained_variance{suffix}": explained, f"return_std{suffix}": std[index]})

    def _require_fields(self, batch: Batch) -> None:
        """All fields must have the shapes that are expected: one of `(batch, 1)` would silently make a square loss."""
        for name in _MINIBATCH_FIELDS:
            if name not in batch:
                raise KeyError(f"PPO needs the field '{name}' in each minibatch; it holds: {', '.join(sorted(batch))}")
        leading = batch["action"].shape[:-1]
        streams = self.network.value.streams
        for name in _MINIBATCH_FIELDS[1:]:
            expected = (*leading, len(streams)) if streams and name in ("value", "return") else leading
            if batch[name].shape != expected:
                raise ValueError(
                    f"the field '{name}' has the shape {tuple(batch[name].shape)}, expected {tuple(expected)}"
                )


def explained_variance(value: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Share of the variance of `target` that `value` explains: 1 - Var(target - value) / Var(target)."""
    residual = target - value
    unexplained = weighted_mean((residual - weighted_mean(residual, weight)).square(), weight)
    variance = weighted_mean((target - weighted_mean(target, weight)).square(), weight)
    return 1 - unexplained / variance.clamp(min=1e-12)
