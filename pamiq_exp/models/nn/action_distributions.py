"""Distributions over actions, their network heads, and encodings of actions, for any action space."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.inputs import ActionScale
from pamiq_exp.models.nn.precision import to_float32
from pamiq_exp.spaces import ActionSpec


class ActionDistribution(ABC):
    """Base class of distributions over canonical actions, `(..., branches)`, with independent branches.

    Probabilities are computed in at least float32: the ratio of two that are rounded to half precision is noise.
    """

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Tensor:
        """Draw actions, `(..., branches)`. The draw happens on the generator's device."""

    @abstractmethod
    def mode(self) -> Tensor:
        """Return the most likely actions, `(..., branches)`."""

    @abstractmethod
    def branch_log_prob(self, action: Tensor) -> Tensor:
        """Return the log-probability (or density) of each branch, `(..., branches)`."""

    @abstractmethod
    def branch_entropy(self) -> Tensor:
        """Return the entropy of each branch in nats, `(..., branches)`."""

    def log_prob(self, action: Tensor) -> Tensor:
        """Return the joint log-probability (or density), `(...)`: the sum over branches."""
        return self.branch_log_prob(action).sum(-1)

    def entropy(self) -> Tensor:
        """Return the joint entropy in nats, `(...)`: the sum over branches."""
        return self.branch_entropy().sum(-1)


class MultiCategorical(ActionDistribution):
    """One categorical choice for each branch, all branches computed at once.

    Args:
        logits: `(..., branches, choices)`, padded to the largest branch.
        allowed: `(..., branches, choices)` bool; False for padding or an invalid action.
        uniform: Weight of the uniform distribution over allowed choices that is mixed in, so that no probability
            becomes 0.
    """

    def __init__(self, logits: Tensor, allowed: Tensor, uniform: float = 0.0) -> None:
        # A large finite number and not -inf: 0 * -inf would turn entropies and gradients into NaN.
        logits = to_float32(logits)
        self.log_probs = torch.log_softmax(logits.masked_fill(~allowed, torch.finfo(logits.dtype).min / 4), dim=-1)
        if uniform:
            choices = allowed.sum(-1, keepdim=True)
            mixed = torch.logaddexp(
                self.log_probs + math.log1p(-uniform), math.log(uniform) - torch.log(choices.to(logits.dtype))
            )
            self.log_probs = torch.where(allowed, mixed, self.log_probs)

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class; int64. Raises ArithmeticError for probabilities that are not finite."""
        probs = self.log_probs.exp()
        flat = probs.to(generator.device).flatten(0, -2)
        try:
            choice = torch.multinomial(flat, 1, generator=generator)
        except RuntimeError as error:
            if torch.isfinite(flat).all():
                raise
            raise ArithmeticError(
                "the probabilities of the actions are not finite: the policy or its input has become NaN or too large"
            ) from error
        return choice.view(probs.shape[:-1]).to(probs.device)

    def mode(self) -> Tensor:
        """See the base class; int64."""
        return self.log_probs.argmax(-1)

    def branch_log_prob(self, action: Tensor) -> Tensor:
        """See the base class."""
        if action.shape != self.log_probs.shape[:-1]:
            raise ValueError(
                f"actions have the shape {tuple(action.shape)}, expected {tuple(self.log_probs.shape[:-1])}"
            )
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def branch_entropy(self) -> Tensor:
        """See the base class."""
        return -(self.log_probs.exp() * self.log_probs).sum(-1)


class DiagonalGaussian(ActionDistribution):
    """An independent normal distribution for each number of a Box action. Actions are not clipped here.

    Args:
        mean: `(..., branches)`.
        log_std: Broadcasts to `mean`.
    """

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean = to_float32(mean)
        self.log_std = to_float32(log_std).expand_as(self.mean)

    def sample(self, generator: torch.Generator) -> Tensor:
        """See the base class."""
        noise = torch.randn(self.mean.shape, generator=generator, device=generator.device, dtype=self.mean.dtype)
        return self.mean + self.log_std.exp() * noise.to(self.mean.device)

    def mode(self) -> Tensor:
        """See the base class."""
        return self.mean

    def branch_log_prob(self, action: Tensor) -> Tensor:
        """See the base class."""
        if action.shape != self.mean.shape:
            raise ValueError(f"actions have the shape {tuple(action.shape)}, expected {tuple(self.mean.shape)}")
        standard = (action - self.mean) * torch.exp(-self.log_std)
        return -0.5 * (standard * standard + math.log(2 * math.pi)) - self.log_std

    def branch_entropy(self) -> Tensor:
        """See the base class."""
        return 0.5 * (1 + math.log(2 * math.pi)) + self.log_std


class ActionHead(nn.Module, ABC):
    """The last layer of a policy: features -> distribution over actions."""

    @abstractmethod
    def forward(self, features: Tensor, allowed: Tensor | None = None) -> ActionDistribution:
        """`(..., width)` -> a distribution with the same leading axes.

        Args:
            features: The input.
            allowed: What an `ActionMask` returns, for choices.
        """


class CategoricalHead(ActionHead):
    """Logits for every branch, without bias: an untrained policy is nearly uniform.

    Args:
        width: Size of the input.
        nvec: Number of choices of each branch.
        uniform: See `MultiCategorical`.
    """

    allowed: Tensor

    def __init__(self, width: int, nvec: Sequence[int], uniform: float = 0.0) -> None:
        super().__init__()
        self.uniform = float(uniform)
        self._shape = (len(nvec), max(nvec))
        self.logits = nn.Linear(width, len(nvec) * max(nvec), bias=False)
        nn.init.orthogonal_(self.logits.weight, gain=0.01)
        self.register_buffer("allowed", torch.arange(max(nvec)) < torch.tensor(nvec)[:, None], persistent=False)

    def forward(self, features: Tensor, allowed: Tensor | None = None) -> MultiCategorical:
        """See the base class."""
        logits = self.logits(features).unflatten(-1, self._shape)
        return MultiCategorical(logits, self.allowed if allowed is None else allowed, self.uniform)


class GaussianHead(ActionHead):
    """Means from the input; one learned standard deviation for each number, independent of the input.

    Both are in the scale of the declared bounds, see `ActionScale`: an untrained policy acts around their middle.

    Args:
        width: Size of the input.
        action: The action space.
        log_std: Initial logarithm of the standard deviations, of numbers that are -1 and 1 at their bounds.
    """

    def __init__(self, width: int, action: ActionSpec, log_std: float = 0.0) -> None:
        super().__init__()
        size = math.prod(action["shape"])
        self.scale = ActionScale(action)
        self.mean = nn.Linear(width, size)
        nn.init.orthogonal_(self.mean.weight, gain=0.01)
        nn.init.zeros_(self.mean.bias)
        self.log_std = nn.Parameter(torch.full((size,), log_std))

    def forward(self, features: Tensor, allowed: Tensor | None = None) -> DiagonalGaussian:
        """See the base class."""
        return DiagonalGaussian(*self.scale.act(self.mean(features), self.log_std))


def make_action_head(width: int, action: ActionSpec, uniform: float = 0.0) -> ActionHead:
    """Return the head for an action space; `uniform` is for discrete actions, see `MultiCategorical`."""
    if action["kind"] == "box":
        return GaussianHead(width, action)
    return CategoricalHead(width, action["nvec"], uniform)


class ActionEncoding(nn.Module):
    """Encodes canonical actions for networks: one-hot for each branch, Box scaled (`ActionScale`).

    Args:
        action: The action space.

    Attributes:
        width: Size of an encoded action.
    """

    offsets: Tensor
    one: Tensor

    def __init__(self, action: ActionSpec) -> None:
        super().__init__()
        nvec = action.get("nvec")
        self.width = sum(nvec) if nvec else math.prod(action["shape"])
        self.scale = None if nvec else ActionScale(action)
        starts = [sum(nvec[:branch]) for branch in range(len(nvec))] if nvec else []
        self.register_buffer("offsets", torch.tensor(starts, dtype=torch.int64), persistent=False)
        # Has the device and the data type of the module wherever it is moved.
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, action: Tensor) -> Tensor:
        """`(..., branches)` -> `(..., width)`."""
        if self.scale is not None:
            encoded: Tensor = self.scale.read(action)
            return encoded
        encoded = self.one.new_zeros(*action.shape[:-1], self.width)
        return encoded.scatter_(-1, action + self.offsets, 1.0)


class ActionEmbedding(nn.Module):
    """Embeds canonical actions, with a table for each branch; Box scaled (`ActionScale`).

    Args:
        action: The action space.
        size: Embedding size for each branch.

    Attributes:
        width: Size of an encoded action.

    Raises:
        IndexError: When called with a choice that the action space does not have.
    """

    def __init__(self, action: ActionSpec, size: int = 8) -> None:
        super().__init__()
        nvec = action.get("nvec")
        self.tables = nn.ModuleList(nn.Embedding(count, size) for count in nvec or ())
        self.scale = None if nvec else ActionScale(action)
        self.width = size * len(self.tables) if nvec else math.prod(action["shape"])

    def forward(self, action: Tensor) -> Tensor:
        """`(..., branches)` -> `(..., width)`."""
        if self.scale is not None:
            encoded: Tensor = self.scale.read(action)
            return encoded
        return torch.cat([table(choice) for table, choice in zip(self.tables, action.unbind(-1), strict=True)], -1)
