"""Joint choices of discrete actions with several branches, numbered, and distributions over them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.action_distributions import ActionDistribution
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.spaces import ActionSpec

MOST_CHOICES = 4096
"""Most joint choices: each has an output of its own."""


class JointActions(nn.Module):
    """Numbers the combinations of the choices of all branches, the last branch fastest.

    Args:
        action: The action space.
        needed_by: What needs them, for errors.

    Attributes:
        count: Number of joint choices.

    Raises:
        ValueError: For continuous actions, or more than `MOST_CHOICES` joint choices.
    """

    strides: Tensor
    sizes: Tensor
    combinations: Tensor

    def __init__(self, action: ActionSpec, needed_by: str) -> None:
        super().__init__()
        nvec = action.get("nvec")
        if not nvec:
            raise ValueError(f"{needed_by} needs discrete actions, and this environment's are continuous")
        self.count = math.prod(nvec)
        if self.count > MOST_CHOICES:
            raise ValueError(
                f"{needed_by} has an output for each joint choice of the {len(nvec)} branches: {self.count:,} are too "
                f"many, {MOST_CHOICES:,} at most"
            )
        strides = [math.prod(nvec[branch + 1 :]) for branch in range(len(nvec))]
        self.register_buffer("strides", torch.tensor(strides), persistent=False)
        self.register_buffer("sizes", torch.tensor(nvec), persistent=False)
        self.register_buffer("combinations", self.action(torch.arange(self.count)), persistent=False)

    def index(self, action: Tensor) -> Tensor:
        """Canonical actions `(..., branches)` -> their numbers `(...)`."""
        return (action * self.strides).sum(-1)

    def action(self, index: Tensor) -> Tensor:
        """Inverse of `index`."""
        return index.unsqueeze(-1) // self.strides % self.sizes

    def allowed(self, choices: Tensor) -> Tensor:
        """Which joint choices an `ActionMask` allows: `(..., branches, choices)` -> `(..., count)` bool."""
        branch = torch.arange(len(self.sizes), device=choices.device)
        return choices[..., branch, self.combinations].all(-1)


class JointCategorical(ActionDistribution):
    """A categorical distribution over joint choices. Its one branch is the joint action.

    Args:
        logits: `(..., choices)`.
        joint: Numbers the choices.
        allowed: `(..., choices)` bool; the others have probability 0. None allows all.
    """

    def __init__(self, logits: Tensor, joint: JointActions, allowed: Tensor | None = None) -> None:
        logits = to_float32(logits)
        if allowed is not None:  # a finite number, as in `MultiCategorical`
            logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min / 4)
        self.log_probs = torch.log_softmax(logits, dim=-1)
        self._joint = joint

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class."""
        flat = self.log_probs.exp().to(generator.device).flatten(0, -2)
        index = torch.multinomial(flat, 1, generator=generator).view(self.log_probs.shape[:-1])
        return self._joint.action(index.to(self.log_probs.device))

    def mode(self) -> Tensor:
        """See the base class."""
        return self._joint.action(self.log_probs.argmax(-1))

    def branch_log_prob(self, action: Tensor) -> Tensor:
        """Return the joint log-probability, `(..., 1)`."""
        return self.log_probs.gather(-1, self._joint.index(action).unsqueeze(-1))

    def branch_entropy(self) -> Tensor:
        """Return the joint entropy in nats, `(..., 1)`."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1, keepdim=True)


class GreedyChoice(ActionDistribution):
    """The joint choice of the highest value, for certain.

    Args:
        values: `(..., choices)`.
        joint: Numbers the choices.
    """

    def __init__(self, values: Tensor, joint: JointActions) -> None:
        self._best = values.argmax(-1)
        self._joint = joint

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class; nothing is drawn."""
        return self.mode()

    def mode(self) -> Tensor:
        """See the base class."""
        return self._joint.action(self._best)

    def branch_log_prob(self, action: Tensor) -> Tensor:
        """Return 0 for the best joint choice and minus infinity for others, `(..., 1)`."""
        chosen = self._joint.index(action) == self._best
        return torch.where(chosen, 0.0, -torch.inf).unsqueeze(-1)

    def branch_entropy(self) -> Tensor:
        """Return 0, `(..., 1)`."""
        return torch.zeros(*self._best.shape, 1, device=self._best.device)
