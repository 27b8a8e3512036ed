"""Training of policies and action values on replayed transitions."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

from pamiq_exp.buffers import Batch, DataBuffer, RolloutBuffer
from pamiq_exp.trainers.n_step import n_step_transitions
from pamiq_exp.trainers.replay import ReplayTrainer

_ENDS = frozenset({"terminated", "truncated", "ended"})


@dataclass(eq=False, repr=False)
class OffPolicyTrainer(ReplayTrainer):
    """Trains a model such as `SoftActorCritic` or `DeepQLearning` on transitions drawn from everything in its buffer.

    The buffer holds `action`, `reward` and what the model reads (`observation.*`), and, unless the environment never
    ends, `terminated`, `truncated` and `ended`. The next observation is the one of the next turn: none is stored twice.

    The module's `training_step` gets batches of `n_step_transitions`; each tensor is `(batch, *shape)`. The module
    defines the loss.

    Args:
        model, buffer, batch_size, seed, train_every, learning_starts, gradient_steps, held_out, held_out_every,
            pictures_every, max_rounds, max_grad_norm, gradient_clip_algorithm, accumulate_grad_batches: See
            `ReplayTrainer`.
        n_steps: Steps of a return before it goes on with a value.
        gamma: Discount of a step.
    """

    _: KW_ONLY
    n_steps: int = 1
    gamma: float = 0.99
    sequence_length: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, not {self.n_steps}")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must be between 0 and 1, not {self.gamma}")
        self.sequence_length = self.n_steps + 1
        super().__post_init__()

    def check_buffer(self, buffer: DataBuffer) -> None:
        """See `ModuleTrainer.check_buffer`."""
        if isinstance(buffer, RolloutBuffer):
            raise TypeError(f"replay needs a ReplayBuffer; {self.buffer!r} is a {type(buffer).__name__}")
        missing = {"action", "reward"} - buffer.fields.keys()
        if _ENDS & buffer.fields.keys():
            missing |= _ENDS - buffer.fields.keys()
        if missing:
            raise KeyError(
                f"the buffer {self.buffer!r} lacks the fields {', '.join(sorted(missing))}; replayed transitions need "
                "action and reward, and terminated, truncated and ended unless the environment never ends"
            )

    def _draw(self) -> Batch:
        return n_step_transitions(super()._draw(), self.gamma)
