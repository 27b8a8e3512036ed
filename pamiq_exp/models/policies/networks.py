"""Policy networks: a distribution over actions and a value, feed-forward or recurrent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pamiq_exp.models.cores import RecurrentCore
from pamiq_exp.models.nn.action_distributions import ActionDistribution, make_action_head
from pamiq_exp.models.nn.action_mask import ActionMask, split_action_mask
from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.models.nn.layers import ActivationName, FieldsNetwork, orthogonal
from pamiq_exp.models.nn.sequences import episode_starts
from pamiq_exp.models.nn.value_head import ValueHead
from pamiq_exp.spaces import ActionSpec, flatten_specs

STATE_FIELD = "policy_state"
"""The field of a transition with the memory of a recurrent policy before the observation."""


class PolicyNetwork(nn.Module, ABC):
    """Base class of policies with a value.

    Attributes:
        policy: From features to a distribution over actions.
        value: From features to a value.
        mask: Reads which choices an observation allows; None without masks.
    """

    value: ValueHead
    mask: ActionMask | None

    def bodies(self) -> list[FieldsNetwork]:
        """Return what reads the inputs."""
        return [part for part in self.modules() if isinstance(part, FieldsNetwork)]

    def allowed(self, batch: Batch) -> Tensor | None:
        """Return which choices a batch allows; None for all. See `ActionMask`."""
        if self.mask is None:
            return None
        allowed: Tensor = self.mask(batch)
        return allowed

    @abstractmethod
    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """Return the distribution over actions and the value, `(...)`, for fields with leading axes `(...)`.

        With `value_streams`, the value has one more axis, `(..., streams)`.
        """


class PolicyValueNetwork(PolicyNetwork):
    """A feed-forward policy with a value, for any inputs and any actions.

    Args:
        inputs: The input fields, named as in buffers: `{"observation": ${spaces.observation}}`, or
            `{"latent": {"shape": [128]}}` to act on the encoder's features. `observation.action_mask` is no input: it
            marks the choices that are allowed, see `ActionMask`.
        action: The action space.
        channels: Widths of the convolutional layers, if an input is an image.
        hidden: Widths of the linear layers.
        activation: After each layer.
        separate: Separate layers for policy and value.
        normalize_value: Learn values in the scale of the returns so far; see `ValueHead`.
        patch: See `ConvolutionalStack`.
        value_streams: See `ValueHead`.
        normalize_inputs: Normalize inputs that are no images; see `InputNormalizer`.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (256,),
        activation: ActivationName = "relu",
        separate: bool = False,
        normalize_value: bool = True,
        patch: int = 1,
        value_streams: Sequence[str] = (),
        normalize_inputs: bool = False,
    ) -> None:
        super().__init__()
        fields, self.mask = split_action_mask(flatten_specs(inputs), action)
        settings = (fields, channels, hidden, activation)
        self.body = FieldsNetwork(*settings, patch=patch, normalize=normalize_inputs)
        self.value_body = FieldsNetwork(*settings, patch=patch, normalize=normalize_inputs) if separate else None
        self.policy = make_action_head(self.body.width, action)
        self.value = ValueHead(self.body.width, normalize_value, streams=value_streams)

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """See the base class; any leading axes."""
        features = self.body(batch)
        value_features = features if self.value_body is None else self.value_body(batch)
        return self.policy(features, self.allowed(batch)), self.value(value_features)


class PolicyStep(NamedTuple):
    """Output of one step of a recurrent policy.

    Attributes:
        distribution: Over the actions of each environment.
        value: `(num_envs,)`, or `(num_envs, streams)`.
        state: The memory before the next step, `(num_envs, depth, state_width)`.
    """

    distribution: ActionDistribution
    value: Tensor
    state: Tensor


class RecurrentPolicy(nn.Module, ABC):
    """Base class of networks that act with a memory, which starts anew with each episode."""

    @abstractmethod
    def initial_state(self, num_envs: int, device: torch.device | str | None = None) -> Tensor:
        """The memory at the start of an episode, `(num_envs, depth, state_width)`."""

    @abstractmethod
    def step(self, fields: Batch, state: Tensor, generator: torch.Generator) -> PolicyStep:
        """Run one step of all environments.

        Args:
            fields: `(num_envs, *shape)`.
            state: The memory, `(num_envs, depth, state_width)`.
            generator: For networks that draw random numbers.
        """

    def remember(self, state: Tensor, action: Tensor) -> Tensor:
        """Return the memory after the action `(num_envs, branches)` was chosen; the same unless a network needs it."""
        return state


class RecurrentPolicyValue(PolicyNetwork, RecurrentPolicy):
    """A recurrent policy with a value; its memory starts anew with each episode.

    Acting takes one `step` after another. Training scans sequences of transitions: the memory before a sequence is the
    one that the policy had there (the field `policy_state` of the first transition), and it is cleared after the
    last observation of an episode (`ended`).

    Args:
        inputs: The input fields; see `PolicyValueNetwork`.
        action: The action space.
        core: The recurrent core. Its dropout must be 0, or training would see other probabilities than acting.
        channels: Widths of the convolutional layers, if an input is an image.
        hidden: Widths of the linear layers before the core.
        activation: After each of them.
        normalize_value: See `ValueHead`.
        value_streams: See `ValueHead`.
        normalize_inputs: See `PolicyValueNetwork`.

    Raises:
        ValueError: For a core with dropout.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        core: RecurrentCore,
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (),
        activation: ActivationName = "relu",
        normalize_value: bool = True,
        value_streams: Sequence[str] = (),
        normalize_inputs: bool = False,
    ) -> None:
        super().__init__()
        if any(isinstance(part, nn.Dropout) and part.p > 0 for part in core.modules()):
            raise ValueError(
                "the core of a policy must have dropout: 0; with dropout, the probability ratios of PPO would be random"
            )
        fields, self.mask = split_action_mask(flatten_specs(inputs), action)
        self.body = FieldsNetwork(fields, channels, hidden, activation, normalize=normalize_inputs)
        self.inlet = orthogonal(nn.Linear(self.body.width, core.width))
        self.core = core
        self.outlet = nn.LayerNorm(core.width)
        self.policy = make_action_head(core.width, action)
        self.value = ValueHead(core.width, normalize_value, streams=value_streams)

    def initial_state(self, num_envs: int, device: torch.device | str | None = None) -> Tensor:
        """See `RecurrentPolicy.initial_state`."""
        return self.core.initial_state((num_envs,), device)

    def step(self, fields: Batch, state: Tensor, generator: torch.Generator | None = None) -> PolicyStep:
        """See `RecurrentPolicy.step`; nothing is drawn."""
        output, state = self.core.step(self._embed(fields), state)
        return PolicyStep(*self._heads(output, self.allowed(fields)), state)

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """See the base class; leading axes `(sequences, time)`.

        The batch also holds `policy_state (sequences, time, depth, state_width)`, of which the first of each sequence
        is used, and, if there are episodes, `ended (sequences, time)`.

        Raises:
            KeyError: For a batch without `policy_state`.
            ValueError: For single transitions instead of sequences.
        """
        if STATE_FIELD not in batch:
            raise KeyError(
                f"a recurrent policy needs the field '{STATE_FIELD}', (depth, state_width), in its buffer; this batch "
                f"holds: {', '.join(sorted(batch))}"
            )
        embedded = self._embed(batch)
        if embedded.ndim != 3:
            raise ValueError(
                "a recurrent policy trains on sequences, (batch, time): set sequence_length of its trainer"
            )
        reset = episode_starts(batch["ended"]) if "ended" in batch else None
        output, _ = self.core.scan(embedded, batch[STATE_FIELD][:, 0].to(self.core.state_dtype), reset)
        return self._heads(output, self.allowed(batch))

    def _embed(self, fields: Batch) -> Tensor:
        embedded: Tensor = self.inlet(self.body(fields).to(self.inlet.weight.dtype))
        return embedded

    def _heads(self, output: Tensor, allowed: Tensor | None) -> tuple[ActionDistribution, Tensor]:
        features = self.outlet(output)
        return self.policy(features, allowed), self.value(features)
