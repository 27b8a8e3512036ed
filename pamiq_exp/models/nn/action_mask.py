"""Action masks: which choices an observation allows (Huang and Ontanon 2022, invalid action masking)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pamiq_exp.models.nn.inputs import Batch
from pamiq_exp.spaces import ACTION_MASK, ActionSpec, ArraySpec

MASK_FIELD = f"observation.{ACTION_MASK}"
"""The field of a batch that holds masks: a number for each choice of each branch, 1 where it is allowed and else 0."""


def split_action_mask(
    fields: Mapping[str, ArraySpec], action: ActionSpec
) -> tuple[dict[str, ArraySpec], ActionMask | None]:
    """Return the fields of a policy's input without the mask, and what reads the mask; None if there is none.

    Raises:
        ValueError: The mask does not suit the action space, forbids everything, or is the only field.
    """
    rest = {name: spec for name, spec in fields.items() if name != MASK_FIELD}
    if MASK_FIELD not in fields:
        return rest, None
    if not rest:
        raise ValueError(f"a policy needs another input besides '{ACTION_MASK}'")
    return rest, ActionMask(fields[MASK_FIELD], action)


class ActionMask(nn.Module):
    """Reads masks from a batch.

    Args:
        field: Description of the field `observation.action_mask`.
        action: The action space.

    Raises:
        ValueError: For actions that are no choices, another number of choices, or bounds that allow none.
    """

    index: Tensor
    exists: Tensor

    def __init__(self, field: ArraySpec, action: ActionSpec) -> None:
        super().__init__()
        nvec = action.get("nvec")
        if not nvec:
            raise ValueError(f"'{ACTION_MASK}' marks choices, but these actions are numbers ({action['kind']})")
        if field["shape"] != [sum(nvec)]:
            raise ValueError(
                f"'{ACTION_MASK}' has the shape {field['shape']}, expected [{sum(nvec)}]: a number for each of the "
                f"{' + '.join(map(str, nvec))} choices"
            )
        if max(field.get("highs") or [field.get("high", 1.0)]) <= 0:
            raise ValueError(f"'{ACTION_MASK}' forbids every choice: by its bounds it is never 1")
        starts = [0, *itertools.accumulate(nvec)]
        choices = torch.arange(max(nvec))
        self.register_buffer("exists", choices < torch.tensor(nvec)[:, None], persistent=False)
        index = (torch.tensor(starts[:-1])[:, None] + choices) * self.exists
        self.register_buffer("index", index.flatten(), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Return which choices are allowed, `(..., branches, choices)` bool, padded to the largest branch.

        A branch without an allowed choice allows all: that is an observation which ends an episode, whose action
        has no effect. Interactions refuse others.
        """
        mask = batch[MASK_FIELD]
        allowed = (mask[..., self.index] > 0.5).reshape(*mask.shape[:-1], *self.exists.shape) & self.exists
        result: Tensor = allowed | (self.exists & ~allowed.any(-1, keepdim=True))
        return result
