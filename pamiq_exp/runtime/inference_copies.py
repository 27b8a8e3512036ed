"""The copies of models that agents use: one for each slot of an exchange, for modules of torch and other models."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pamiq_exp.component import State
from pamiq_exp.publishable import Model, Publishable
from pamiq_exp.runtime.checkpoints import copy_state
from pamiq_exp.runtime.exchange import SLOTS
from pamiq_exp.shared_memory import shared_array

if TYPE_CHECKING:
    from lightning import LightningModule

_ALIGNMENT = 64
"""Bytes of a cache line."""


class InferenceCopies(Protocol):
    """A model's inference copies, one for each slot of an `Exchange`.

    The learner calls `update` with the slot that is its own at the time; the agent uses `copies` of its own slot. So
    an implementation needs no lock, and publishing waits for no reader.
    """

    @property
    def copies(self) -> list[Any]:
        """What agents call and take methods from, one for each slot."""

    def update(self, slot: int) -> None:
        """Bring the copy in a slot up to the trained parameters."""

    def state(self, slot: int) -> State:
        """Copy the named arrays of a slot, for a checkpoint."""

    def load_state(self, slot: int, state: State) -> None:
        """Restore what `state` returned into a slot."""

    def share(self) -> None:
        """Move the slots to memory that processes forked later share. Raises TypeError if that is not possible."""

    def memory(self, slot: int) -> NDArray[np.uint8]:
        """The memory of a slot, once it is shared: as long and in the same order wherever the same model is built."""


class TorchCopies:
    """A module of torch: the copies are modules in evaluation mode, and an update copies tensors into one of them.

    Args:
        name: Of the model, for errors.
        model: The training module. Its `inference_module` chooses the part that agents use.
        device: Where the copies are; None for where the model is.
    """

    def __init__(self, name: str, model: LightningModule, device: torch.device | None = None) -> None:
        self._name = name
        self._source = inference_part(model)
        self._copies: list[nn.Module] = [copy_for_inference(name, self._source).to(device) for _ in range(SLOTS)]
        self._copy_lists = [self._prepare(each) for each in self._copies]
        self._memory: list[NDArray[np.uint8]] = []

    @property
    def copies(self) -> list[nn.Module]:
        """See `InferenceCopies.copies`."""
        return self._copies

    def update(self, slot: int) -> None:
        """See `InferenceCopies.update`."""
        for sources, targets in self._copy_lists[slot]:
            torch._foreach_copy_(targets, [owner[name] for owner, name in sources])

    def state(self, slot: int) -> State:
        """See `InferenceCopies.state`."""
        state: State = copy_state(self._copies[slot].state_dict())
        return state

    def load_state(self, slot: int, state: State) -> None:
        """See `InferenceCopies.load_state`."""
        self._copies[slot].load_state_dict(state)

    def share(self) -> None:
        """See `InferenceCopies.share`. Parameters and buffers keep their identity, so that views of them stay valid."""
        for each in self._copies:
            tensors = dict([*each.named_parameters(), *each.named_buffers()])
            for name, tensor in tensors.items():
                self._require_dense(name, tensor)
            memory = shared_array([sum(map(_room, tensors.values()))], "uint8")
            self._memory.append(memory)
            arena = torch.from_numpy(memory)
            start = 0
            for tensor in tensors.values():
                flat = arena[start : start + tensor.numel() * tensor.element_size()].view(tensor.dtype)
                strides = torch.empty_like(tensor, device="meta").stride()
                tensor.data = flat.as_strided(tensor.shape, strides).copy_(tensor)
                start += _room(tensor)
        self._copy_lists = [self._prepare(each) for each in self._copies]

    def memory(self, slot: int) -> NDArray[np.uint8]:
        """See `InferenceCopies.memory`."""
        return self._memory[slot]

    def _require_dense(self, name: str, tensor: torch.Tensor) -> None:
        if tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized:
            return
        kind = "quantized" if tensor.is_quantized else str(tensor.layout).removeprefix("torch.")
        raise TypeError(
            f"the model '{self._name}' cannot be published from another process: its '{name}' is a {kind} tensor on "
            f"{tensor.device}, and processes share dense tensors of the CPU; choose launcher.learner=thread"
        )

    def _prepare(self, inference_copy: nn.Module) -> list[tuple[list[tuple[dict[str, Any], str]], list[torch.Tensor]]]:
        """Pair each tensor of an inference copy with the place where the source keeps its own.

        Buffers may be rebound during training (`self.mean = ...`), so the place is remembered and not the
        tensor. Tensors are grouped by dtype and device: mixed lists take torch's slow path.
        """
        groups: dict[tuple[torch.dtype, torch.device], tuple[list[tuple[dict[str, Any], str]], list[torch.Tensor]]]
        groups = {}
        for source, target in zip(self._source.modules(), inference_copy.modules(), strict=True):
            for sources, targets in ((source._parameters, target._parameters), (source._buffers, target._buffers)):
                for name, tensor in targets.items():
                    if tensor is not None:
                        group = groups.setdefault((tensor.dtype, tensor.device), ([], []))
                        group[0].append((sources, name))
                        group[1].append(tensor.detach())
        return list(groups.values())


class OwnCopies:
    """What a `Publishable` gives at each publication, kept with its arrays.

    Args:
        name: Of the model, for errors.
        model: The model.
    """

    def __init__(self, name: str, model: Publishable) -> None:
        self._name = name
        self._model = model
        self._copies: list[Any] = [model.inference_model()] * SLOTS
        self._arrays: list[Mapping[str, NDArray[Any]]] = [model.arrays()] * SLOTS

    @property
    def copies(self) -> list[Any]:
        """See `InferenceCopies.copies`."""
        return self._copies

    def update(self, slot: int) -> None:
        """See `InferenceCopies.update`."""
        self._copies[slot] = self._model.inference_model()
        self._arrays[slot] = self._model.arrays()

    def state(self, slot: int) -> State:
        """See `InferenceCopies.state`."""
        state: State = copy_state(self._arrays[slot])
        return state

    def load_state(self, slot: int, state: State) -> None:
        """See `InferenceCopies.load_state`: the trained arrays are those from before afterwards."""
        trained = self._model.arrays()
        self._model.load_arrays(state)
        self.update(slot)
        self._model.load_arrays(trained)

    def share(self) -> None:
        """See `InferenceCopies.share`."""
        raise self._not_shared()

    def memory(self, slot: int) -> NDArray[np.uint8]:
        """See `InferenceCopies.memory`."""
        raise self._not_shared()

    def _not_shared(self) -> TypeError:
        return TypeError(
            f"the model '{self._name}' cannot be published from another process: what a {type(self._model).__name__} "
            "publishes are objects of its own; choose launcher.learner=thread"
        )


def inference_copies(name: str, model: Model, device: torch.device | None = None) -> InferenceCopies:
    """Make the inference copies of a model, on a device if it is one of torch.

    Raises TypeError for a model that cannot be copied.
    """
    return OwnCopies(name, model) if isinstance(model, Publishable) else TorchCopies(name, model, device)


def _room(tensor: torch.Tensor) -> int:
    """Bytes of a tensor, rounded up so that the next one begins at a cache line."""
    return -(-tensor.numel() * tensor.element_size() // _ALIGNMENT) * _ALIGNMENT


def inference_part(model: LightningModule) -> nn.Module:
    """The part of a module that agents use: what its `inference_module` returns, by default all of it."""
    choose = getattr(model, "inference_module", None)
    part = choose() if callable(choose) else model
    if not isinstance(part, nn.Module):
        raise TypeError(f"{type(model).__name__}.inference_module() must return a module, not {part!r}")
    return part


def copy_for_inference(name: str, source: nn.Module) -> nn.Module:
    """Copy a model, in evaluation mode and without gradients.

    Raises:
        TypeError: It holds something that cannot be copied; the message names it and what to do.
    """
    try:
        return copy.deepcopy(source).eval().requires_grad_(False)
    except Exception as error:
        held = _not_copyable(source)
        where = f"its attribute '{held}' ({type(_attribute(source, held)).__name__})" if held else type(source).__name__
        raise TypeError(
            f"the model '{name}' cannot be copied for inference, because of {where}: {error}. Each model is copied "
            f"{SLOTS} times. Keep locks, files and generators outside of models, leave them out of the copy "
            f"(__getstate__ of {type(source).__name__}), or have inference_module() return a part without them"
        ) from error


def _not_copyable(source: nn.Module) -> str | None:
    """Return the address of the first attribute in a module that cannot be copied."""
    for address, module in source.named_modules():
        for name, value in vars(module).items():
            if name in ("_parameters", "_buffers", "_modules"):
                continue
            try:
                copy.deepcopy(value)
            except Exception:
                return f"{address}.{name}".lstrip(".")
    return None


def _attribute(source: nn.Module, address: str) -> object:
    module, _, name = address.rpartition(".")
    return vars(source.get_submodule(module))[name]
