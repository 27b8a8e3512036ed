"""A dry step: parts that were built for it alone are tried on each other, and thrown away.

Observations are zeros in the shapes that the environment declares, so the world itself is neither set up nor moved.
The agent takes a few turns with the models as they are, and each trainer trains one batch. What does not fit raises
here what it would raise in the run, only sooner, and all of it together.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.buffers import Batch, DataBuffer, DataUser
from pamiq_exp.component import collect_state, components
from pamiq_exp.interaction import Agent, Environment, Observation
from pamiq_exp.runtime.device import make_fabric
from pamiq_exp.runtime.publication import inference_part
from pamiq_exp.spaces import describe_action
from pamiq_exp.trainers import ModuleTrainer, Trainer, TrainingContext

PartT = TypeVar("PartT")

KINDS: Mapping[str, type] = {"models": LightningModule, "buffers": DataBuffer, "trainers": Trainer}
"""What the parts of a config have to be, by the name of their node."""

TURNS = 4
ROWS = 4
"""Of a batch, where trainers draw as many as they like."""
MOST_TRIALS = 10
"""Of a part that asks for others which are not there."""

ENDING = 2
"""The turn whose observation ends its episode in all lanes."""


@dataclass(frozen=True)
class Fault:
    """Something that did not work.

    Attributes:
        part: Address of the part that was tried: `interaction.agent`, `trainers.policy`.
        error: What it raised.
        missing: Kind and name of the parts that it asked for, that are not there, and that the error is about.
        perhaps: Others that it asked for later, and that it may do without.
    """

    part: str
    error: Exception
    missing: tuple[tuple[str, str], ...] = ()
    perhaps: tuple[tuple[str, str], ...] = ()


@dataclass
class Rehearsal:
    """What a dry step has shown.

    Attributes:
        faults: What did not work.
        unused_models: Models that neither a trainer nor the agent nor another model asked for.
        unused_buffers: Buffers that no trainer asked for.
        parameters: Number of parameters of each model.
        model_bytes: Of each model's parameters and buffers.
        inference_bytes: Of the parts that are published, one copy of each.
        gradient_bytes: Of all gradients.
        optimizer_bytes: Of what the trainers keep beside the models.
        buffer_bytes: Of each data buffer when it is full.
    """

    faults: list[Fault] = field(default_factory=list)
    unused_models: list[str] = field(default_factory=list)
    unused_buffers: list[str] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)
    model_bytes: dict[str, int] = field(default_factory=dict)
    inference_bytes: int = 0
    gradient_bytes: int = 0
    optimizer_bytes: int = 0
    buffer_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> int:
        """Models with their gradients and optimizers, two published copies, and full buffers."""
        return self.checkpoint_bytes + self.inference_bytes + self.gradient_bytes

    @property
    def checkpoint_bytes(self) -> int:
        """Models, what is published of them, optimizers, and full buffers."""
        kept = sum(self.model_bytes.values()) + self.inference_bytes + self.optimizer_bytes
        return kept + sum(self.buffer_bytes.values())


def rehearse(
    environment: Environment,
    agent: Agent[Any, Any],
    models: Mapping[str, LightningModule],
    buffers: Mapping[str, DataBuffer],
    trainers: Mapping[str, Trainer],
) -> Rehearsal:
    """Try the parts of a run on each other. They are of no use afterwards.

    Nothing is written, and the global random generators are left as they were.
    """
    return _Rehearsing(environment, models, buffers).run(agent, trainers)


@dataclass
class _Missing:
    """Kinds and names of parts that are not there.

    Attributes:
        looked_for: That somebody asked for or about.
        demanded: In whose place somebody was given another part.
        pretend: Whether that is done, so that all that is missing shows.
        choice: Which other part it is.
    """

    looked_for: list[tuple[str, str]] = field(default_factory=list)
    demanded: list[tuple[str, str]] = field(default_factory=list)
    pretend: bool = False
    choice: dict[tuple[str, str], int] = field(default_factory=dict)


class _Asked(dict[str, PartT]):
    """Parts by name, with a note of which were asked for."""

    def __init__(self, parts: Mapping[str, PartT], kind: str, missing: _Missing) -> None:
        super().__init__(parts)
        self.kind = kind
        self.missing = missing
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> PartT:
        if super().__contains__(name):
            self.names.add(name)
        elif not self.missing.pretend:
            self.missing.looked_for.append((self.kind, name))
        elif len(self):
            self.missing.demanded.append((self.kind, name))
            return list(self.values())[self.missing.choice.get((self.kind, name), 0) % len(self)]
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        there = name in self
        return self[name] if there else default

    def __contains__(self, name: object) -> bool:
        there = super().__contains__(name)
        if isinstance(name, str) and not there:
            self.missing.looked_for.append((self.kind, name))
        return there or (self.missing.pretend and len(self) > 0)

    def items(self) -> Any:
        self.names.update(self)
        return super().items()


class _Port:
    """A model as the agent sees it; nothing is published here."""

    version = 0

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *arguments: Any) -> Any:
        with torch.no_grad():
            return self.module(*arguments)


class _FewRows(DataUser):
    """Gives small batches: shapes need no more, and a run's own would take a second."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        return super().sample(min(batch_size, ROWS), generator)

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        return super().sequences(min(batch_size, ROWS), length, generator)


class _Rehearsing:
    def __init__(
        self, environment: Environment, models: Mapping[str, LightningModule], buffers: Mapping[str, DataBuffer]
    ) -> None:
        self.environment = environment
        self.missing = _Missing()
        self.models = models
        self.users = {name: _FewRows(buffer) for name, buffer in buffers.items()}
        self.asked_models = _Asked(models, "model", self.missing)
        self.asked_users = _Asked(self.users, "buffer", self.missing)
        self.asked_ports: set[str] = set()
        self.result = Rehearsal(
            parameters={name: sum(each.numel() for each in model.parameters()) for name, model in models.items()},
            model_bytes={name: _bytes_of(model) for name, model in models.items()},
            buffer_bytes={name: buffer.nbytes for name, buffer in buffers.items()},
        )

    def run(self, agent: Agent[Any, Any], trainers: Mapping[str, Trainer]) -> Rehearsal:
        with _no_traces():
            self._try("interaction.agent", lambda: self._act(agent))
            for user in self.users.values():
                _fill(user)
            for name, trainer in trainers.items():
                self._try(f"trainers.{name}", lambda trainer=trainer: self._train(trainer))  # type: ignore[misc]
            self._measure(trainers)
        if not self.result.faults:
            trained = {name for trainer in trainers.values() for name in trainer.trains}
            used = self.asked_models.names | self.asked_ports | trained
            self.result.unused_models = sorted(set(self.models) - used)
            self.result.unused_buffers = sorted(set(self.users) - self.asked_users.names)
        return self.result

    def _try(self, part: str, action: Callable[[], None]) -> None:
        self.missing.looked_for.clear()
        try:
            action()
        except Exception as error:
            named = dict.fromkeys(each for each in self.missing.looked_for if f"'{each[1]}'" in str(error))
            others = dict.fromkeys(self._also_missing(action) if named else ())
            self.result.faults.append(
                Fault(part, error, tuple(named), tuple(each for each in others if each not in named))
            )

    def _also_missing(self, action: Callable[[], None]) -> list[tuple[str, str]]:
        """Return all that a part asks for and that is not there, by trying it again with other parts in its place."""
        found: list[tuple[str, str]] = []
        self.missing.choice.clear()
        self.missing.pretend = True
        for _ in range(MOST_TRIALS):
            self.missing.demanded.clear()
            with suppress(Exception):
                action()
                break
            if not self.missing.demanded:
                break
            found += self.missing.demanded
            last = self.missing.demanded[-1:]  # what stood in for it may have been of the wrong kind
            self.missing.choice.update({each: self.missing.choice.get(each, 0) + 1 for each in last})
        self.missing.pretend = False
        return [*found, *self.missing.demanded]

    def _act(self, agent: Agent[Any, Any]) -> None:
        """Let the agent take a few turns, as if all models were ready."""
        parts = {name: inference_part(model) for name, model in self.models.items()}
        self.result.inference_bytes = 2 * sum(_bytes_of(part) for part in parts.values())
        ports = _Asked({name: _Port(part) for name, part in parts.items()}, "model", self.missing)
        collectors = {name: user.collector for name, user in self.users.items()}
        inside = [component for _, component in components(agent)]  # before `attach`: walking would ask for everything
        modes = [(module, module.training) for model in self.models.values() for module in model.modules()]
        try:
            for model in self.models.values():
                model.eval()
            with _all_ready(parts.values()):
                agent.attach(ports, _Asked(collectors, "buffer", self.missing))
                agent.attach_oracle(self.environment.ground_truth)
                for component in inside:
                    component.setup()
                for turn in range(TURNS):
                    with torch.no_grad():
                        self._check_action(agent.step(self._observation(ended=turn == ENDING)), agent)
        finally:
            self.asked_ports = ports.names
            for module, training in modes:
                module.training = training
            for component in inside:
                with suppress(Exception):
                    component.teardown()

    def _observation(self, *, ended: bool) -> Observation:
        lanes = self.environment.lanes
        spaces = self.environment.observation_space.spaces
        values = {name: np.zeros((lanes, *(space.shape or ())), dtype=space.dtype) for name, space in spaces.items()}
        return Observation(values, np.zeros(lanes, np.float32), np.zeros(lanes, np.bool_), np.full(lanes, ended))

    def _check_action(self, action: object, agent: Agent[Any, Any]) -> None:
        space = describe_action(self.environment.action_space)
        expected = (self.environment.lanes, *space["shape"])
        kind = "f" if space["kind"] == "box" else "i"
        if not isinstance(action, np.ndarray):
            raise TypeError(f"{type(agent).__name__} must return an array of actions, not {type(action).__name__}")
        if action.shape != expected or action.dtype.kind != kind:
            raise ValueError(
                f"{type(agent).__name__} gives actions {action.shape} {action.dtype}, the environment takes "
                f"{expected} {space['dtype']} (lanes first)"
            )

    def _train(self, trainer: Trainer) -> None:
        fabric = make_fabric("cpu", "32-true")
        trainer.attach(TrainingContext(self.asked_models, self.asked_users, fabric, "skip", lambda: 0))
        with _all_ready(self.models.values()):
            ready = trainer.ready()
            if not ready and isinstance(trainer, ModuleTrainer) and trainer.trainable and not trainer.finished:
                self._require_room(trainer)
        if ready or isinstance(trainer, ModuleTrainer):  # those need nothing but data
            batches = trainer.round()
            next(batches, None)
            with suppress(Exception):
                batches.close()  # type: ignore[attr-defined]

    def _require_room(self, trainer: ModuleTrainer) -> None:
        buffer = trainer.user.buffer
        raise ValueError(
            f"this trainer would wait for ever: its buffer is full with {buffer.capacity} turns, "
            f"{buffer.capacity * buffer.lanes} environment steps, and that is not enough for it; give the buffer a "
            "larger capacity"
        )

    def _measure(self, trainers: Mapping[str, Trainer]) -> None:
        parameters = [each for model in self.models.values() for each in model.parameters() if each.grad is not None]
        self.result.gradient_bytes = sum(each.numel() * each.element_size() for each in parameters)
        with suppress(Exception):
            self.result.optimizer_bytes = _tensor_bytes(collect_state(dict(trainers)))
        for _, component in components(dict(trainers)):
            with suppress(Exception):
                component.teardown()


@contextmanager
def _all_ready(modules: Any) -> Iterator[None]:
    """Have modules that wait for a warm-up (`ready`) take part: shapes matter here, not values."""
    waiting = [module for module in modules if isinstance(getattr(type(module), "ready", None), property)]
    classes = [type(module) for module in waiting]
    try:
        for module, cls in zip(waiting, classes, strict=True):
            module.__class__ = type(cls.__name__, (cls,), {"ready": True, "__module__": cls.__module__})
        yield
    finally:
        for module, cls in zip(waiting, classes, strict=True):
            module.__class__ = cls


@contextmanager
def _no_traces() -> Iterator[None]:
    """Leave the global generators, gradients and warnings of this process as they are."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _fill(user: DataUser) -> None:
    """Have a buffer full of zeros, which cost no memory before somebody looks at them."""
    with suppress(Exception):  # what the agent collected may be what is wrong, and that is told already
        user.update()
    user.buffer.count_as_full()
    user.count_added += user.buffer.capacity * user.buffer.lanes


def _bytes_of(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _tensor_bytes(state: object) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, np.ndarray):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(_tensor_bytes(value) for value in state.values())
    return sum(_tensor_bytes(value) for value in state) if isinstance(state, (list, tuple)) else 0
