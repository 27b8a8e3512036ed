"""How trained parameters become the ones that inference uses.

Each model has two inference copies. One belongs to the current snapshot and is read by the agent; the training
thread copies changed parameters into the other one and then moves a single reference, the snapshot. A
step pins the snapshot it began with, so all models it uses are of one version; an inference copy that a step
still has pinned is never written. It is always the training thread that waits for the step, never the
other way round, and the agent's side takes no lock.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any

import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.component import State
from pamiq_exp.runtime.checkpoints import copy_state
from pamiq_exp.runtime.streams import StreamOrder


def inference_part(model: LightningModule) -> nn.Module:
    """The part of a model that agents use: what its `inference_module` returns, by default all of it."""
    choose = getattr(model, "inference_module", None)
    part = choose() if callable(choose) else model
    if not isinstance(part, nn.Module):
        raise TypeError(f"{type(model).__name__}.inference_module() must return a module, not {part!r}")
    return part


class Snapshot:
    """One publication: a version and the inference copy of each model that belongs to it."""

    __slots__ = ("modules", "published_at", "version", "written")

    def __init__(self, version: int, modules: dict[str, nn.Module], written: torch.cuda.Event | None = None) -> None:
        self.version = version
        self.modules = modules
        self.written = written
        """When the copies of this publication are done on a GPU."""
        self.published_at = time.perf_counter()


class _PublishedModel:
    """A training module with its two inference copies and the lists that a copy needs."""

    def __init__(self, name: str, model: LightningModule) -> None:
        self.source = inference_part(model)
        self.copies = [copy_for_inference(name, self.source) for _ in range(2)]
        self.active = 0
        self._copy_lists = [self._prepare(each) for each in self.copies]

    def update_inactive_copy(self) -> nn.Module:
        """Copy parameters and buffers into the inactive inference copy, make it the active one and return it."""
        inactive = 1 - self.active
        for sources, targets in self._copy_lists[inactive]:
            torch._foreach_copy_(targets, [owner[name] for owner, name in sources])
        self.active = inactive
        return self.copies[inactive]

    def _prepare(self, inference_copy: nn.Module) -> list[tuple[list[tuple[dict[str, Any], str]], list[torch.Tensor]]]:
        """Pair each tensor of the inference copy with the place where the source keeps its own.

        Buffers may be rebound during training (`self.mean = ...`), so the place is remembered and not the
        tensor. Tensors are grouped by dtype and device: mixed lists take torch's slow path.
        """
        groups: dict[tuple[torch.dtype, torch.device], tuple[list[tuple[dict[str, Any], str]], list[torch.Tensor]]]
        groups = {}
        for source, target in zip(self.source.modules(), inference_copy.modules(), strict=True):
            for sources, targets in ((source._parameters, target._parameters), (source._buffers, target._buffers)):
                for name, tensor in targets.items():
                    if tensor is not None:
                        group = groups.setdefault((tensor.dtype, tensor.device), ([], []))
                        group[0].append((sources, name))
                        group[1].append(tensor.detach())
        return list(groups.values())


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
            f"twice. Keep locks, files and generators outside of models, leave them out of the copy (__getstate__ of "
            f"{type(source).__name__}), or have inference_module() return a part without them"
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


class Publisher:
    """Owns the inference copies of all models. `begin_step` and `end_step` belong to the inference thread,
    `publish` to the training thread.
    """

    def __init__(self, models: Mapping[str, LightningModule], version: int = 0) -> None:
        devices = {tensor.device for model in models.values() for tensor in model.parameters()}
        self._order = next((StreamOrder(device) for device in devices if device.type == "cuda"), None)
        self._published = {name: _PublishedModel(name, model) for name, model in models.items()}
        self._current = Snapshot(version, {name: model.copies[0] for name, model in self._published.items()})
        self._pinned: Snapshot | None = None
        self._wanted = False
        self._released = Event()

    @property
    def version(self) -> int:
        """Version of the newest publication."""
        return self._current.version

    @property
    def age(self) -> float:
        """Wall seconds since the newest publication."""
        return time.perf_counter() - self._current.published_at

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of the step under way, else the newest one."""
        return self._pinned or self._current

    def inference_models(self) -> dict[str, InferenceModel]:
        """The models as the agent uses them, by name."""
        return {name: InferenceModel(self, name) for name in self._published}

    def begin_step(self) -> None:
        """Pin the newest snapshot. Never waits."""
        while True:
            snapshot = self._current
            self._pinned = snapshot
            # A publication between the two lines above may have let the next one look at the pin too
            # early; if the snapshot is still current now, the pin was in time.
            if self._current is snapshot:
                break
        if self._order is not None:
            self._order.before_read(snapshot.written)

    def end_step(self) -> None:
        """Let the pinned snapshot go. Never waits."""
        if self._order is not None:
            self._order.after_read()
        self._pinned = None
        if self._wanted:
            self._released.set()

    def publish(self, names: Iterable[str]) -> int:
        """Make the current parameters of the named models the ones that inference uses.

        All of them appear at once, as one version, which is returned. Waits if a step that began before
        the last publication is still under way.
        """
        self._await_inactive_copies()
        if self._order is not None:
            self._order.before_write()
        with torch.no_grad():
            changed = {name: self._published[name].update_inactive_copy() for name in names}
        written = self._order.written() if self._order is not None else None
        previous = self._current
        self._current = Snapshot(previous.version + 1, previous.modules | changed, written)
        return self._current.version

    def state(self) -> State:
        """Copy the published parameters, which may be older than the trained ones."""
        return {name: copy_state(module.state_dict()) for name, module in self._current.modules.items()}

    def restore(self, version: int, published: State | None = None) -> None:
        """Go on as `version`, before the first step: with `published` parameters, or the trained ones."""
        self.publish(self._published)
        self._current = Snapshot(version, self._current.modules, self._current.written)
        for name, module in self._current.modules.items():
            if published is not None and name in published:
                module.load_state_dict(published[name])

    def _await_inactive_copies(self) -> None:
        """The inactive inference copies belong to earlier snapshots than the current one: wait until none is pinned."""
        while (pinned := self._pinned) is not None and pinned is not self._current:
            self._released.clear()
            self._wanted = True
            if self._pinned is pinned:
                self._released.wait(timeout=1.0)
            self._wanted = False


class InferenceModel:
    """A model as the agent uses it: the published inference copy, in evaluation mode and without gradients."""

    def __init__(self, publisher: Publisher, name: str) -> None:
        self._publisher = publisher
        self._name = name

    @property
    def module(self) -> nn.Module:
        """The inference copy that belongs to the step under way. Do not keep it for the next one."""
        return self._publisher.snapshot.modules[self._name]

    @property
    def version(self) -> int:
        """The publication that the step under way uses."""
        return self._publisher.snapshot.version

    def __call__(self, *args: Any) -> Any:
        """Run the inference copy's `forward`, without gradients."""
        with torch.no_grad():
            return self._publisher.snapshot.modules[self._name](*args)
