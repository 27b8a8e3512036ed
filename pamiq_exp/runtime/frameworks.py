"""What the launcher does with a trained model, whatever framework it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from pamiq_exp.component import State
from pamiq_exp.publishable import Model, Publishable
from pamiq_exp.runtime.checkpoints import CheckpointError


def parameter_count(model: Model) -> int:
    """Numbers that are trained."""
    if isinstance(model, Publishable):
        return model.parameter_count
    return sum(each.numel() for each in model.parameters())


def byte_count(model: Model | nn.Module) -> int:
    """Bytes of parameters and buffers."""
    if isinstance(model, Publishable):
        return model.nbytes
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))


def move_to(device: torch.device, models: Mapping[str, Model]) -> None:
    """Move modules of torch to a device. Other frameworks choose theirs."""
    for model in torch_modules(models).values():
        model.to(device)


def torch_modules(models: Mapping[str, Model]) -> dict[str, nn.Module]:
    """The models that are modules of torch."""
    return {name: model for name, model in models.items() if isinstance(model, nn.Module)}


def trained_state(model: Model) -> State:
    """What a checkpoint holds of a model, not copied."""
    return dict(model.arrays()) if isinstance(model, Publishable) else model.state_dict()


def load_trained_state(name: str, model: Model, state: State) -> None:
    """Restore what `trained_state` returned. Raises CheckpointError for other parameters."""
    try:
        if isinstance(model, Publishable):
            model.load_arrays({key: _as_array(value) for key, value in state.items()})
        else:
            model.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"model {name} has other parameters than the checkpoint: {error}") from error


def _as_array(value: Any) -> np.ndarray[Any, Any]:
    """An array of a checkpoint, where it may have become a tensor."""
    return value.numpy() if isinstance(value, torch.Tensor) else value
