"""Training of a model in JAX on what the present policy did, each rollout once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from pamiq_exp.buffers import Batch, RolloutBuffer
from pamiq_exp.component import State
from pamiq_exp.lightning_loop import NonFiniteError
from pamiq_exp.nonfinite import OnNonfinite
from pamiq_exp.pytrees import named_arrays, with_arrays
from pamiq_exp.seeding import torch_generator
from pamiq_exp.trainers.advantage import generalized_advantages, standardized
from pamiq_exp.trainers.on_policy import minibatches_of, staleness
from pamiq_exp.trainers.trainer import Trainer, TrainingContext

_OUTCOME = ("reward", "value", "terminated", "truncated", "ended", "model_version")
"""Fields of a transition that are used up by the advantages and not part of minibatches."""


class DifferentiableModel(Protocol):
    """A model whose loss JAX can differentiate.

    Attributes:
        parameters: A pytree, replaced as a whole after each batch.
    """

    parameters: Any

    def loss(self, parameters: Any, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Return the loss of a batch, and further metrics; all scalars."""


@dataclass(eq=False, repr=False)
class JaxOnPolicyTrainer(Trainer):
    """Trains a policy in JAX on rollouts that it has just made, with Adam; see `OnPolicyTrainer`.

    The loss, its gradient and the optimizer's step are compiled as one function. Advantages are those of
    `generalized_advantages`.

    Args:
        model: Name of the model, one with `parameters` and `loss`: a `JaxActorCritic`, say.
        buffer: Name of the buffer, a RolloutBuffer with `action`, `log_prob`, `value`, `reward`, `terminated`,
            `truncated`, `ended` and the inputs of the model.
        rollout_steps: Turns in a rollout.
        seed: For splitting rollouts into minibatches.
        epochs: Passes over each rollout.
        minibatches: Parts into which the transitions of a pass are split at random.
        gamma: Discount.
        gae_lambda: See `generalized_advantages`.
        learning_rate: At the start; it falls to 0 over `launcher.max_steps`, if there is such an end.
        max_grad_norm: Largest norm of the gradient.
    """

    model: str
    buffer: str
    rollout_steps: int
    _: KW_ONLY
    seed: int = 0
    epochs: int = 3
    minibatches: int = 4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    learning_rate: float = 3e-4
    max_grad_norm: float = 0.5
    trains: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        if min(self.rollout_steps, self.epochs, self.minibatches) < 1:
            raise ValueError("rollout_steps, epochs and minibatches must be at least 1")
        self.trains = (self.model,)
        self._generator = torch_generator(self.seed)
        self._batches = 0
        self._skipped = 0

    def attach(self, context: TrainingContext) -> None:
        """See `Trainer.attach`. Raises KeyError, TypeError or ValueError for a model or buffer that does not suit."""
        model = context.model(self.model)
        if not callable(getattr(model, "loss", None)):
            raise TypeError(
                f"JaxOnPolicyTrainer trains models in JAX, and {self.model!r} is a {type(model).__name__}: "
                "choose OnPolicyTrainer"
            )
        self._user = context.user(self.buffer)
        buffer = self._user.buffer
        if not isinstance(buffer, RolloutBuffer) or buffer.capacity <= self.rollout_steps:
            raise ValueError(
                f"rollouts of {self.rollout_steps} turns need a RolloutBuffer of at least {2 * self.rollout_steps}; "
                f"{self.buffer!r} is a {type(buffer).__name__} of {buffer.capacity}"
            )
        self._model: DifferentiableModel = model  # type: ignore[assignment]  # has a `loss`, see above
        self._on_nonfinite: OnNonfinite = context.on_nonfinite
        self._version = context.version
        self._optimizer = self._make_optimizer(context.max_steps, buffer.num_envs)
        self._optimizer_state = self._optimizer.init(self._model.parameters)
        self._step = jax.jit(self._compute_step)

    def ready(self) -> bool:
        """Whether a rollout and the turn after it are there."""
        return len(self._user) > self.rollout_steps and self._user.available > self.rollout_steps

    def round(self) -> Iterator[Mapping[str, float]]:
        """See `Trainer.round`."""
        rollout = self._user.take(self.rollout_steps)
        first = staleness(rollout, self._version)
        transitions = self._transitions(rollout)
        for _ in range(self.epochs):
            for minibatch in minibatches_of(transitions, self.minibatches, self._generator):
                yield self._train(minibatch) | first
                first = {}

    @property
    def training_step(self) -> int:
        """See `Trainer.training_step`."""
        return self._batches

    def state(self) -> State:
        """Counters, and the optimizer's arrays by their path in its tree."""
        optimizer = named_arrays(self._optimizer_state)
        return {"batches": self._batches, "skipped": self._skipped, "optimizer": optimizer}

    def load_state(self, state: State) -> None:
        """Restore them. Raises ValueError for those of another optimizer."""
        self._batches, self._skipped = state["batches"], state["skipped"]
        self._optimizer_state = with_arrays(self._optimizer_state, state["optimizer"])

    def summary(self) -> dict[str, float]:
        """How many batches were skipped, if any."""
        return {f"{self.model}_skipped_steps": self._skipped} if self._skipped else {}

    def _make_optimizer(self, max_steps: int | None, num_envs: int) -> optax.GradientTransformation:
        rate: float | Callable[[Any], Any] = self.learning_rate
        if max_steps is not None:
            rollouts = max(0, -(-max_steps // num_envs) - 1) // self.rollout_steps
            rate = optax.linear_schedule(self.learning_rate, 0.0, max(1, rollouts * self.epochs * self.minibatches))
        return optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(rate, eps=1e-5))

    def _transitions(self, rollout: Batch) -> Batch:
        """The transitions of a rollout as rows, with `advantage`, `return` and `weight`."""
        terminated, truncated, ended = (rollout[name][:-1] for name in ("terminated", "truncated", "ended"))
        reward, value = rollout["reward"][:-1], rollout["value"]
        found = generalized_advantages(reward, value, terminated, truncated, ended, self.gamma, self.gae_lambda)
        rows = {name: column[:-1] for name, column in rollout.items() if name not in _OUTCOME}
        advantage = standardized(found.advantage, found.weight)
        rows |= {"advantage": advantage, "return": found.target, "weight": found.weight}
        return {name: column.flatten(0, 1) for name, column in rows.items()}

    def _train(self, minibatch: Batch) -> dict[str, float]:
        batch = {name: column.numpy() for name, column in minibatch.items()}
        parameters, optimizer_state, found = self._step(self._model.parameters, self._optimizer_state, batch)
        metrics = {name: float(value) for name, value in found.items()}
        self._batches += 1
        for name in ("loss", "gradient_norm"):
            if not math.isfinite(metrics[name]):
                return self._skip(f"the {name} is {metrics[name]}", minibatch)
        self._model.parameters, self._optimizer_state = parameters, optimizer_state
        return metrics | ({"skipped_steps": self._skipped} if self._skipped else {})

    def _skip(self, reason: str, minibatch: Batch) -> dict[str, float]:
        if self._on_nonfinite == "stop":
            raise NonFiniteError(self.model, self._batches - 1, reason, minibatch)
        self._skipped += 1
        return {"skipped_steps": self._skipped}

    def _compute_step(
        self, parameters: Any, optimizer_state: Any, batch: Mapping[str, jax.Array]
    ) -> tuple[Any, Any, dict[str, jax.Array]]:
        """One step of the optimizer, without side effects. Nothing is donated: agents may use the old parameters."""
        (loss, metrics), gradient = jax.value_and_grad(self._model.loss, has_aux=True)(parameters, batch)
        updates, optimizer_state = self._optimizer.update(gradient, optimizer_state, parameters)
        metrics |= {
            "loss": loss,
            "gradient_norm": jnp.sqrt(sum(jnp.vdot(each, each) for each in jax.tree.leaves(gradient))),
        }
        return optax.apply_updates(parameters, updates), optimizer_state, metrics
