"""How trained parameters become the ones that inference uses.

Each model has three inference copies. The agent reads one, the learner writes another, and the third is the newest
published one, or free. Publishing copies the changed parameters of all models and then exchanges the copies, see
`Exchange`. A step keeps the copies that it began with, so all models that it uses are of one version. Neither
the agent nor the learner ever waits for the other, and the agent takes no lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.publishable import Model
from pamiq_exp.runtime.config import Inference
from pamiq_exp.runtime.exchange import Exchange
from pamiq_exp.runtime.frameworks import torch_modules
from pamiq_exp.runtime.inference_copies import InferenceCopies, inference_copies
from pamiq_exp.runtime.quick_inference import QuickInference
from pamiq_exp.runtime.streams import StreamOrder

Parameters: TypeAlias = Mapping[str, NDArray[np.uint8]]
"""The memory of models' parameters by name; see `InferenceCopies.memory`."""

SendParameters: TypeAlias = Callable[[Parameters, int, int], None]
"""Sends the parameters of a publication, its version and its training step; they do not change until it returns."""


class Snapshot:
    """One publication as a step uses it: a version, and the slot and inference copy of each model that belong to it.

    Attributes:
        training_step: Batches that had been trained by all trainers.
    """

    __slots__ = ("modules", "slots", "training_step", "version")

    def __init__(
        self, version: int, training_step: int, slots: list[int], models: Mapping[str, InferenceCopies]
    ) -> None:
        self.version = version
        self.training_step = training_step
        self.slots = slots
        self.modules: dict[str, Any] = {
            name: each.copies[slot] for (name, each), slot in zip(models.items(), slots, strict=True)
        }


class Publisher:
    """Owns the inference copies of all models. `begin_step`, `end_step` and `snapshot` belong to the agent's thread,
    `publish` to the learner's.

    Args:
        models: The trained models by name.
        shared: Whether the learner goes to a process of its own, forked later.
        inference: How inference copies compute; see `QuickInference`.
        device: Where inference copies are; None for where each model is.

    Raises:
        TypeError: A model cannot be copied, or cannot be shared; the message names it and what to do.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        shared: bool = False,
        inference: Inference = "eager",
        device: torch.device | None = None,
    ) -> None:
        devices = {tensor.device for model in torch_modules(models).values() for tensor in model.parameters()}
        devices = devices if device is None else {device}
        # A copy to the CPU is done when the call returns.
        self._order = next((StreamOrder(each) for each in devices if each.type == "cuda"), None)
        self._written: torch.cuda.Event | None = None
        """When the copies of the newest publication are done on a GPU."""
        self._published = {name: inference_copies(name, each, device) for name, each in models.items()}
        self._index = {name: index for index, name in enumerate(self._published)}
        self._send: SendParameters | None = None
        if shared:
            self._share()
        self._quick = QuickInference(inference)
        for name, each in self._published.items():
            self._quick.prepare(name, each.copies)
        self._exchange = Exchange(len(models), shared)
        self._snapshot = Snapshot(0, 0, [0] * len(models), self._published)
        self._in_step = False

    @property
    def inference_notes(self) -> dict[str, str]:
        """How each method of an inference copy that was called is computed, and why; see `QuickInference`."""
        return dict(self._quick.notes)

    @property
    def version(self) -> int:
        """Version of the newest publication."""
        return self._exchange.version

    @property
    def training_step(self) -> int:
        """Batches trained by all trainers when the newest publication was made."""
        return self._exchange.training_step

    @property
    def age(self) -> float:
        """Wall seconds since the newest publication."""
        return self._exchange.age

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of the step under way, else the newest one."""
        if not self._in_step:
            self._refresh()
        return self._snapshot

    def inference_models(self) -> dict[str, InferenceModel]:
        """The models as the agent uses them, by name."""
        return {name: InferenceModel(self, name) for name in self._published}

    def begin_step(self) -> Snapshot:
        """Take the newest snapshot, keep it for the step, and return it. Never waits."""
        self._refresh()
        self._in_step = True
        return self._snapshot

    def end_step(self) -> None:
        """End the step. Never waits."""
        if self._order is not None:
            self._order.after_read()
        self._in_step = False

    def publish(self, names: Iterable[str], training_step: int | None = None) -> int:
        """Make the current parameters of the named models the ones that inference uses.

        All of them appear at once, as one version, which is returned. `training_step` is the number of batches
        trained so far.
        """
        return self._publish(names, training_step)

    def send_by(self, send: SendParameters) -> None:
        """From now on also send what is published, beginning with the newest publication: agents are elsewhere.

        Called where the learner is. Raises TypeError for a model that cannot be sent.
        """
        self._share()
        self._send = send
        self._publish(self._published, None, self.version)

    def receive_elsewhere(self) -> None:
        """Be ready for `receive`: the learner is elsewhere. Raises TypeError for a model that cannot be sent."""
        self._share()

    def receive(self, parameters: Parameters, version: int, training_step: int) -> None:
        """Take a publication that a learner elsewhere has sent. Called by one thread, in the place of `publish`.

        Raises:
            ValueError: The learner has built a model differently.
        """
        for name, sent in parameters.items():
            memory = self._published[name].memory(self._exchange.writer_slot(self._index[name]))
            if memory.shape != sent.shape:
                raise ValueError(
                    f"the learner's model '{name}' has {sent.size:,} bytes of parameters, and this one {memory.size:,}"
                )
            np.copyto(memory, sent)
        self._exchange.publish([self._index[name] for name in parameters], training_step, version)

    def state(self) -> State:
        """Copy the published parameters, which may be older than the trained ones. Called where the agent is."""
        slots = self.snapshot.slots
        return {name: each.state(slots[self._index[name]]) for name, each in self._published.items()}

    def restore(self, version: int, published: State | None = None, training_step: int = 0) -> None:
        """Go on as `version`, before the first step: with `published` parameters, or the trained ones."""
        self._publish(self._published, training_step, version)
        if published is None:
            return
        snapshot = self.snapshot
        for name, each in self._published.items():
            if name in published:
                each.load_state(snapshot.slots[self._index[name]], published[name])
        self._snapshot = Snapshot(snapshot.version, snapshot.training_step, snapshot.slots, self._published)

    def _publish(self, names: Iterable[str], training_step: int | None, version: int | None = None) -> int:
        if self._order is not None:
            self._order.before_write()
        names = list(names)
        with torch.no_grad():
            for name in names:
                self._published[name].update(self._exchange.writer_slot(self._index[name]))
        if self._order is not None:
            self._written = self._order.written()
        slots = {name: self._exchange.writer_slot(self._index[name]) for name in names}
        version = self._exchange.publish([self._index[name] for name in names], training_step, version)
        if self._send is not None:  # the learner, which is here, is the only one to write into these slots again
            memory = {name: self._published[name].memory(slot) for name, slot in slots.items()}
            self._send(memory, version, self.training_step)
        return version

    def _share(self) -> None:
        for each in self._published.values():
            each.share()

    def _refresh(self) -> None:
        if self._exchange.fresh and (newest := self._exchange.refresh()) is not None:
            self._snapshot = Snapshot(*newest, self._published)
        if self._order is not None:
            self._order.before_read(self._written)


class InferenceModel:
    """A model as the agent uses it: the published inference copy, in evaluation mode and without gradients."""

    def __init__(self, publisher: Publisher, name: str) -> None:
        self._publisher = publisher
        self._name = name

    @property
    def module(self) -> Any:
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
