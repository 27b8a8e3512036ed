"""Training on what the present policy did, each rollout once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import torch
from torch import Tensor

from pamiq_exp.buffers import Batch, DataBuffer, RolloutBuffer
from pamiq_exp.component import State
from pamiq_exp.lightning_loop import TrainingPlan
from pamiq_exp.scan import warm_up
from pamiq_exp.trainers.advantage import Advantages, generalized_advantages, standardized
from pamiq_exp.trainers.module_trainer import ModuleTrainer
from pamiq_exp.trainers.trainer import TrainingContext

Normalization = Literal["rollout", "minibatch", "none"]


@dataclass(frozen=True)
class ReturnStream:
    """How the return of one stream of rewards enters the advantage.

    Attributes:
        gamma: Discount.
        weight: Of its advantage in the sum.
        episodic: Whether the return ends with the episode.
    """

    gamma: float = 0.99
    weight: float = 1.0
    episodic: bool = True


_OUTCOME = ("reward", "terminated", "truncated", "model_version")
"""Fields of a transition that are used up by the advantages and not part of minibatches."""


@dataclass(eq=False, repr=False)
class OnPolicyTrainer(ModuleTrainer):
    """Trains a policy on rollouts that it has just made, as proximal policy optimization does.

    A rollout is `rollout_steps` turns of all environments and the one after them. The buffer holds `action`,
    `log_prob`, `value`, `reward` and what the policy reads (`observation.*`), and, unless the environment never
    ends, `terminated`, `truncated` and `ended` (see `generalized_advantages`).

    With `streams`, `reward` and `value` are `(streams)` in each transition, and the advantage is the weighted sum of
    those of the streams: A = c_e A_e + c_i A_i (Burda et al. 2018, section 2.3).

    The module's `training_step` gets minibatches with all these fields but the outcomes, and with
    `advantage`, `return` and `weight`; each `(batch, *shape)`, or `(batch, sequence, *shape)`. The module defines the
    loss. A module with the method `observe_returns(returns)` gets all returns of a rollout, `(n,)` or `(n, streams)`,
    before its minibatches.

    Args:
        model, seed, max_rounds, max_grad_norm, gradient_clip_algorithm, accumulate_grad_batches: See
            `ModuleTrainer`; a round is a rollout, and a batch a minibatch.
        buffer: Name of the buffer, a RolloutBuffer.
        rollout_steps: Turns in a rollout.
        epochs: Passes over each rollout.
        minibatches: Parts into which the transitions of a pass are split at random.
        gamma: Discount, of a single stream of rewards.
        gae_lambda: See `generalized_advantages`.
        streams: The streams of rewards by name, in the order in which transitions hold them; None for a single one.
        advantage_normalization: Over the whole `rollout`, each `minibatch`, or `none`.
        advantage_centering: Whether normalized advantages get the mean 0, or keep their own and are only scaled.
        sequence_length: Turns that stay together in minibatches, for policies with a memory (whose
            `policy_state` must be in the buffer); None for single transitions.
        target_kl: No further minibatch of a rollout is trained on once the module has logged an
            `approx_kl` above this; None never stops early.
        max_staleness: Rollouts are skipped and counted if on average more publications than this lie
            between acting and training; None takes all. Needs the field `model_version`.
    """

    rollout_steps: int
    _: KW_ONLY
    epochs: int = 3
    minibatches: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    streams: Mapping[str, ReturnStream] | None = None
    advantage_normalization: Normalization = "rollout"
    advantage_centering: bool = True
    sequence_length: int | None = None
    target_kl: float | None = None
    max_staleness: float | None = None
    max_grad_norm: float | None = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.discarded_rollouts = 0
        """Rollouts that were skipped because they were too stale."""
        self._version: Callable[[], int] | None = None
        self._check_settings()

    def attach(self, context: TrainingContext) -> None:
        """See `ModuleTrainer.attach`."""
        super().attach(context)
        self._version = context.version
        warm_up()

    def check_buffer(self, buffer: DataBuffer) -> None:
        """See `ModuleTrainer.check_buffer`."""
        if not isinstance(buffer, RolloutBuffer):
            raise TypeError(f"rollouts need a RolloutBuffer; {self.buffer!r} is a {type(buffer).__name__}")
        if buffer.capacity <= self.rollout_steps:
            raise ValueError(
                f"the buffer {self.buffer!r} keeps {buffer.capacity} turns, but a rollout of {self.rollout_steps} "
                f"takes one more turn; give it a capacity of at least {2 * self.rollout_steps}"
            )

    def plan(self, max_steps: int | None, num_envs: int) -> TrainingPlan:
        """See `ModuleTrainer.plan`: a rollout takes one more turn than it trains on."""
        batches = self.epochs * self.minibatches
        if max_steps is None:
            return TrainingPlan(batches, self.max_rounds)
        rollouts = max(0, -(-max_steps // num_envs) - 1) // self.rollout_steps
        return TrainingPlan(batches, rollouts if self.max_rounds is None else min(rollouts, self.max_rounds))

    def ready(self) -> bool:
        """Whether a rollout and the turn after it are there."""
        user = self.user
        return not self.finished and len(user) > self.rollout_steps and user.available > self.rollout_steps

    def round(self) -> Iterator[Mapping[str, float]]:
        """See `Trainer.round`."""
        driver = self.driver
        rollout = self.user.take(self.rollout_steps)
        first = staleness(rollout, self._version)
        if self.max_staleness is not None and first.get("staleness", 0.0) > self.max_staleness:
            self.discarded_rollouts += 1
            yield first | {"discarded_rollouts": self.discarded_rollouts}
            return
        self.rounds += 1
        transitions = self._transitions(rollout)
        self._observe_returns(transitions)
        driver.begin_epoch()
        total = self.epochs * self.minibatches
        for index, minibatch in enumerate(self._minibatches_of(transitions), start=1):
            metrics = self.train_batch(minibatch, last=index == total)
            stop = driver.epoch_done or driver.should_stop or index == total or self._exceeds_target_kl()
            if stop:
                metrics |= driver.end_epoch()
                metrics["epochs"] = index / self.minibatches
            yield metrics | first
            first = {}
            if stop:
                return

    def state(self) -> State:
        """See `Component.state`."""
        return super().state() | {"discarded_rollouts": self.discarded_rollouts}

    def load_state(self, state: State) -> None:
        """See `Component.load_state`."""
        super().load_state(state)
        self.discarded_rollouts = state["discarded_rollouts"]

    def _check_settings(self) -> None:
        if min(self.rollout_steps, self.epochs, self.minibatches) < 1:
            raise ValueError("rollout_steps, epochs and minibatches must be at least 1")
        if self.sequence_length is not None and self.rollout_steps % self.sequence_length:
            raise ValueError(
                f"rollout_steps {self.rollout_steps} must be a multiple of sequence_length {self.sequence_length}"
            )
        if self.advantage_normalization not in ("rollout", "minibatch", "none"):
            raise ValueError(
                f"advantage_normalization is rollout, minibatch or none, not {self.advantage_normalization!r}"
            )
        if self.epochs == self.minibatches == 1:
            warnings.warn(
                "one pass over one minibatch never moves a probability ratio off 1: clipping has no effect",
                stacklevel=4,
            )

    def _transitions(self, rollout: Batch) -> Batch:
        """Turn a rollout `(T + 1, num_envs, ...)` into transitions or sequences `(count, ...)` with advantages."""
        advantages = self._advantages(rollout)
        advantage = advantages.advantage
        if self.advantage_normalization == "rollout":
            advantage = standardized(advantage, advantages.weight, self.advantage_centering)
        transitions = {name: value[:-1] for name, value in rollout.items() if name not in _OUTCOME}
        transitions |= {"advantage": advantage, "return": advantages.target, "weight": advantages.weight}
        return {name: self._rows(value) for name, value in self.driver.fabric.to_device(transitions).items()}

    def _advantages(self, rollout: Batch) -> Advantages:
        """The advantage of all streams together, and the returns `(T, num_envs)` or `(T, num_envs, streams)`."""
        reward, value = rollout["reward"][:-1], rollout["value"]
        terminated, truncated, ended = (
            self._end_field(rollout, name)[:-1] for name in ("terminated", "truncated", "ended")
        )

        def estimate(reward: Tensor, value: Tensor, stream: ReturnStream) -> Advantages:
            return generalized_advantages(
                reward, value, terminated, truncated, ended, stream.gamma, self.gae_lambda, stream.episodic
            )

        if self.streams is None:
            return estimate(reward, value, ReturnStream(self.gamma))
        if reward.shape[2:] != (len(self.streams),):
            raise ValueError(
                f"the trainer of {self.model!r} has the streams {', '.join(self.streams)}, but a reward in the buffer "
                f"{self.buffer!r} has the shape {tuple(reward.shape[2:])}: choose reward_streams=two, or no streams"
            )
        each = [
            estimate(reward[..., index], value[..., index], stream)
            for index, stream in enumerate(self.streams.values())
        ]
        weights = [stream.weight for stream in self.streams.values()]
        advantage = torch.stack([weight * one.advantage for weight, one in zip(weights, each, strict=True)]).sum(0)
        return Advantages(advantage, torch.stack([one.target for one in each], -1), each[0].weight)

    def _observe_returns(self, transitions: Batch) -> None:
        """Give the module the returns of a rollout, once; those that are not finite are left to `on_nonfinite`."""
        observe = getattr(self.driver.module, "observe_returns", None)
        if not callable(observe):
            return
        returns = transitions["return"][transitions["weight"] > 0]
        observe(returns[returns.isfinite().reshape(len(returns), -1).all(-1)])

    def _rows(self, value: Tensor) -> Tensor:
        if self.sequence_length is None:
            return value.flatten(0, 1)
        # (T, num_envs) -> (pieces, sequence, num_envs) -> (pieces, num_envs, sequence) -> (pieces * num_envs, sequence)
        pieces = value.reshape(-1, self.sequence_length, *value.shape[1:])
        return pieces.transpose(1, 2).flatten(0, 1)

    def _end_field(self, rollout: Batch, name: str) -> Tensor:
        """The field `name`; environments without ends need none of the three."""
        if name in rollout:
            return rollout[name]
        if rollout.keys() & {"terminated", "truncated", "ended"}:
            raise KeyError(
                f"the buffer {self.buffer!r} has some of the fields terminated, truncated and ended but not {name!r}; "
                "advantages need all three, or none in an environment that never ends"
            )
        return torch.zeros(rollout["reward"].shape[:2], dtype=torch.bool, device=rollout["reward"].device)

    def _minibatches_of(self, transitions: Batch) -> Iterator[Batch]:
        for _ in range(self.epochs):
            for minibatch in minibatches_of(transitions, self.minibatches, self._generator):
                if self.advantage_normalization == "minibatch":
                    minibatch["advantage"] = standardized(
                        minibatch["advantage"], minibatch["weight"], self.advantage_centering
                    )
                yield minibatch

    def _exceeds_target_kl(self) -> bool:
        if self.target_kl is None or self.driver.skipped is not None:
            return False
        divergence = self.driver.logged.values.get("approx_kl")
        if divergence is None:
            raise ValueError(f"target_kl is set, but the model {self.model!r} does not log approx_kl")
        return divergence > self.target_kl


def staleness(rollout: Batch, version: Callable[[], int] | None) -> dict[str, float]:
    """Mean number of publications between acting and training; nothing without the field `model_version`.

    `version` returns the newest publication; without it, the newest one in the rollout counts.
    """
    versions = rollout.get("model_version")
    if versions is None:
        return {}
    newest = int(versions.max()) if version is None else version()
    return {"staleness": newest - float(versions[:-1].double().mean())}


def minibatches_of(transitions: Batch, count: int, generator: torch.Generator) -> Iterator[Batch]:
    """Split transitions at random into minibatches of equal size, as nearly as possible.

    Raises ValueError if there are fewer than `count`.
    """
    rows = len(transitions["advantage"])
    if rows < count:
        raise ValueError(f"{rows} transitions or sequences cannot be split into {count} minibatches")
    for part in torch.randperm(rows, generator=generator).tensor_split(count):
        index = part.to(transitions["advantage"].device)
        yield {name: value.index_select(0, index) for name, value in transitions.items()}
