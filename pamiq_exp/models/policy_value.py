"""What shall I do, and what is it worth?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from pamiq_exp.models.distributions import ActionDistribution, make_action_head
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.layers import ActivationName, FieldsNetwork
from pamiq_exp.spaces import ActionSpec, flatten_specs


class PolicyValueNetwork(nn.Module):
    """A feed-forward policy with a value estimate, for any inputs and any actions.

    Args:
        inputs: The fields it reads, named as in buffers: `{"observation": ${spaces.observation}}`, or
            `{"latent": {"shape": [128]}}` to act on the encoder's features.
        action: The action space.
        channels: Widths of the convolutional layers, if an input is an image.
        hidden: Widths of the linear layers.
        activation: What follows each layer.
        separate: Let policy and value each have their own layers.
    """

    def __init__(
        self,
        inputs: Mapping[str, object],
        action: ActionSpec,
        channels: Sequence[int] = (16, 32, 32),
        hidden: Sequence[int] = (256,),
        activation: ActivationName = "relu",
        separate: bool = False,
    ) -> None:
        super().__init__()
        fields = flatten_specs(inputs)
        self.body = FieldsNetwork(fields, channels, hidden, activation)
        self.value_body = FieldsNetwork(fields, channels, hidden, activation) if separate else None
        self.policy = make_action_head(self.body.width, action)
        self.value = nn.Linear(self.body.width, 1)
        nn.init.orthogonal_(self.value.weight, gain=1.0)
        nn.init.zeros_(self.value.bias)

    def forward(self, batch: Batch) -> tuple[ActionDistribution, Tensor]:
        """Return the distribution over actions and the value, `(...)`, for fields with any leading axes."""
        features = self.body(batch)
        value_features = features if self.value_body is None else self.value_body(batch)
        distribution: ActionDistribution = self.policy(features)
        return distribution, self.value(value_features).squeeze(-1)
