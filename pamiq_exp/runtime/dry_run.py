"""The dry run of an experiment: parts that were built for it alone run together for a moment, and are discarded.

The environment is neither set up nor stepped. Its observations are generated within the bounds that it declares.
The agent takes a few turns with the models as they are, each trainer trains one batch of what the agent collected,
each model is copied as for inference, and all states are packed as for a checkpoint. What does not fit raises here what
it would raise in the run, only sooner, and all of it together.

Not every finding is an error: an exception that passed through code of the user's own may come from the
generated data, and classes of the user's own may ask for a model or a buffer later than it lasts. Such findings are
`uncertain`: callers warn of them and go on. Missing names, sizes of layers that do not agree, and whatever code of this
package alone raises do not depend on data and are certain.
"""

from __future__ import annotations

import random
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pamiq_exp.buffers import DataBuffer
from pamiq_exp.component import collect_state, components
from pamiq_exp.interaction import Agent, Environment, StepObserver
from pamiq_exp.publishable import Model, Publishable
from pamiq_exp.runtime.checkpoints import pack_state
from pamiq_exp.runtime.device import make_fabric
from pamiq_exp.runtime.dry_run_data import DryRunData, DryRunUser
from pamiq_exp.runtime.exchange import SLOTS
from pamiq_exp.runtime.frameworks import byte_count, parameter_count, torch_modules
from pamiq_exp.runtime.inference_copies import copy_for_inference, inference_part
from pamiq_exp.runtime.requested_parts import Missing, RequestedParts
from pamiq_exp.spaces import describe_action
from pamiq_exp.trainers import Trainer, TrainingContext

if TYPE_CHECKING:
    from pamiq_exp.trainers import ModuleTrainer

TURNS = 4
ROWS = 4
"""Of a batch, where trainers draw as many as they like."""
MAX_ATTEMPTS = 10
"""How often a part is run that asks for others which do not exist."""

ENDING = 2
"""The turn whose observation ends its episode in all environments."""

OWN = "pamiq_exp"

LIBRARIES = sys.stdlib_module_names | {
    OWN, "gymnasium", "lightning", "lightning_fabric", "lightning_utilities", "numba", "numpy", "safetensors", "torch",
}  # fmt: skip
"""Packages whose code raises for what it was given by others: this one, and what it is built on."""

INDEPENDENT_OF_DATA = (ImportError, NameError, NotImplementedError)
"""Exceptions that do not depend on data, whatever raises them."""


@dataclass(frozen=True)
class Fault:
    """Something that did not work.

    Attributes:
        part: Address of the part: `interaction.agent`, `trainers.policy`, `models.encoder`.
        error: What it raised.
        missing: Kind and name of the parts that it asked for, that do not exist, and that the error is about.
        perhaps: Others that it asked for later, and that it may do without.
        uncertain: Whether it may be due to generated data: code of the user's own took part.
    """

    part: str
    error: Exception
    missing: tuple[tuple[str, str], ...] = ()
    perhaps: tuple[tuple[str, str], ...] = ()
    uncertain: bool = False


@dataclass
class DryRunResult:
    """What a dry run has found.

    Attributes:
        faults: What did not work.
        unused_models: Models that neither a trainer nor the agent nor another model asked for.
        unused_buffers: Buffers that no trainer asked for.
        only_shipped: Whether all parts are of this package: those ask for all they need at once.
        parameters: Number of parameters of each model.
        model_bytes: Of each model's parameters and buffers.
        inference_bytes: Of the parts that are published, one copy of each.
        gradient_bytes: Of all gradients.
        optimizer_bytes: Of what the trainers keep beside the models.
        buffer_bytes: Of each data buffer when it is full.
        kept_bytes: Of what the agent, with its rewards, and the metrics keep after the turns of the dry run.
        notes: How observations and actions are understood, by the environment itself.
    """

    faults: list[Fault] = field(default_factory=list)
    unused_models: list[str] = field(default_factory=list)
    unused_buffers: list[str] = field(default_factory=list)
    only_shipped: bool = True
    parameters: dict[str, int] = field(default_factory=dict)
    model_bytes: dict[str, int] = field(default_factory=dict)
    inference_bytes: int = 0
    gradient_bytes: int = 0
    optimizer_bytes: int = 0
    buffer_bytes: dict[str, int] = field(default_factory=dict)
    kept_bytes: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def memory_bytes(self) -> int:
        """Models with their gradients and optimizers, the published copies, full buffers, rewards and metrics."""
        return self.checkpoint_bytes + (SLOTS - 1) * self.inference_bytes + self.gradient_bytes

    @property
    def checkpoint_bytes(self) -> int:
        """Models, what is published of them, optimizers, full buffers, and what rewards and metrics keep."""
        kept = sum(self.model_bytes.values()) + self.inference_bytes + self.optimizer_bytes + self.kept_bytes
        return kept + sum(self.buffer_bytes.values())


def kinds_of(group: str) -> tuple[type, ...]:
    """Return the classes that the parts of a group of a config derive from."""
    if group == "models":
        from lightning import LightningModule  # only a run with models waits for it

        return LightningModule, Publishable
    return {"buffers": (DataBuffer,), "trainers": (Trainer,)}.get(group, (object,))


def dry_run_parts(
    environment: Environment,
    agent: Agent[Any, Any],
    models: Mapping[str, Model],
    buffers: Mapping[str, DataBuffer],
    trainers: Mapping[str, Trainer],
    observers: Mapping[str, StepObserver] | None = None,
    max_steps: int | None = None,
    devices: int = 1,
) -> DryRunResult:
    """Run the parts of an experiment together for a moment. They cannot be used afterwards.

    The environment is still to be closed.
    Nothing is written, and the global random generators are left as they were. `max_steps` is that of the run, for
    schedules that depend on it, and `devices` is how many train together.
    """
    return _DryRun(environment, models, buffers, max_steps, devices).run(agent, trainers, observers or {})


class _InferenceModel:
    """A model as the agent uses it; nothing is published here."""

    version = 0

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, *arguments: Any) -> Any:
        with torch.no_grad():
            return self.module(*arguments)


class _DryRun:
    def __init__(
        self,
        environment: Environment,
        models: Mapping[str, Model],
        buffers: Mapping[str, DataBuffer],
        max_steps: int | None,
        devices: int,
    ) -> None:
        self.max_steps = max_steps
        self.devices = devices
        self.environment = environment
        self.data = DryRunData(environment)
        self.missing = Missing()
        self.models = models
        self.users = {name: DryRunUser(buffer, self.data, ROWS) for name, buffer in buffers.items()}
        self.requested_models = RequestedParts(models, "model", self.missing)
        self.requested_users = RequestedParts(self.users, "buffer", self.missing)
        self.requested_ports: set[str] = set()
        self.result = DryRunResult(
            parameters={name: parameter_count(model) for name, model in models.items()},
            model_bytes={name: byte_count(model) for name, model in models.items()},
            buffer_bytes={name: buffer.nbytes for name, buffer in buffers.items()},
            notes=environment.notes() if isinstance(environment, Environment) else [],
        )

    def run(
        self, agent: Agent[Any, Any], trainers: Mapping[str, Trainer], observers: Mapping[str, StepObserver]
    ) -> DryRunResult:
        parts = {
            "interaction.agent": agent,
            **{f"trainers.{name}": trainer for name, trainer in trainers.items()},
            **{f"metrics.{name}": observer for name, observer in observers.items()},
        }
        everything = [*self.models.values(), *(part for _, part in components((parts, self.users)))]
        self.result.only_shipped = all(_is_shipped(type(part)) for part in everything)
        with _preserved_globals():
            for name, model in self.models.items():  # before they are used, as a run does
                self._try(f"models.{name}", lambda name=name, model=model: self._copy(name, model))  # type: ignore[misc]
            self._try("interaction.agent", lambda: self._act(agent))
            for user in self.users.values():
                user.fill(TURNS)
            for name, trainer in trainers.items():
                self._try(f"trainers.{name}", lambda trainer=trainer: self._train(trainer))  # type: ignore[misc]
            # Before states are collected: walking through parts asks for everything that they hold.
            trained = {name for trainer in trainers.values() for name in trainer.trains}
            used_models = self.requested_models.names | self.requested_ports | trained
            used_buffers = set(self.requested_users.names)
            failed = {fault.part for fault in self.result.faults}
            for address in parts.keys() - failed:
                self._try(address, lambda address=address: self._pack(address, parts[address]))  # type: ignore[misc]
            self._measure(trainers)
        if not self.result.faults:
            self.result.unused_models = sorted(set(self.models) - used_models)
            self.result.unused_buffers = sorted(set(self.users) - used_buffers)
        return self.result

    def _try(self, part: str, action: Callable[[], None]) -> None:
        self.missing.requested.clear()
        try:
            action()
        except Exception as error:
            named = dict.fromkeys(each for each in self.missing.requested if f"'{each[1]}'" in str(error))
            others = dict.fromkeys(self._also_missing(action) if named else ())
            later = tuple(each for each in others if each not in named)
            self.result.faults.append(Fault(part, error, tuple(named), later, not named and _may_depend_on_data(error)))

    def _also_missing(self, action: Callable[[], None]) -> list[tuple[str, str]]:
        """Return all missing parts that a part asks for, by running it again with other parts in their place."""
        found: list[tuple[str, str]] = []
        self.missing.choice.clear()
        self.missing.replace = True
        for _ in range(MAX_ATTEMPTS):
            self.missing.replaced.clear()
            with suppress(Exception):
                action()
                break
            if not self.missing.replaced:
                break
            found += self.missing.replaced
            last = self.missing.replaced[-1:]  # what stood in for it may have been of the wrong kind
            self.missing.choice.update({each: self.missing.choice.get(each, 0) + 1 for each in last})
        self.missing.replace = False
        return [*found, *self.missing.replaced]

    def _act(self, agent: Agent[Any, Any]) -> None:
        """Let the agent take a few turns, as if all models were warmed up."""
        parts = {name: _inference_part(model) for name, model in self.models.items()}
        self.result.inference_bytes = sum(byte_count(part) for part in parts.values() if isinstance(part, nn.Module))
        ports = RequestedParts({name: _InferenceModel(part) for name, part in parts.items()}, "model", self.missing)
        collectors = {name: user.collector for name, user in self.users.items()}
        inside = [component for _, component in components(agent)]  # before `attach`: walking would ask for everything
        torch_models = torch_modules(self.models).values()
        modes = [(module, module.training) for model in torch_models for module in model.modules()]
        try:
            for model in torch_models:
                model.eval()
            with _all_warmed_up(parts.values()):
                agent.attach(ports, RequestedParts(collectors, "buffer", self.missing))
                agent.check_environment(self.environment)
                agent.attach_oracle(self.environment.ground_truth)
                for component in inside:
                    component.setup()
                for turn in range(TURNS):
                    with torch.no_grad():
                        self._check_action(agent.step(self.data.observation(ended=turn == ENDING)), agent)
        finally:
            self.requested_ports = ports.names
            for module, training in modes:
                module.training = training
            for component in inside:
                with suppress(Exception):
                    component.teardown()

    def _check_action(self, action: object, agent: Agent[Any, Any]) -> None:
        space = describe_action(self.environment.action_space)
        expected = (self.environment.num_envs, *space["shape"])
        kind = "f" if space["kind"] == "box" else "i"
        if not isinstance(action, np.ndarray):
            raise TypeError(f"{type(agent).__name__} must return an array of actions, not {type(action).__name__}")
        if action.shape != expected or action.dtype.kind != kind:
            raise ValueError(
                f"{type(agent).__name__} gives actions {action.shape} {action.dtype}, the environment takes "
                f"{expected} {space['dtype']} (num_envs first)"
            )

    def _train(self, trainer: Trainer) -> None:
        from pamiq_exp.trainers import ModuleTrainer

        fabric = make_fabric("cpu", "32-true")
        trainer.attach(
            TrainingContext(self.requested_models, self.requested_users, fabric, "skip", lambda: 0, self.max_steps)
        )
        with _all_warmed_up(self.models.values()):
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
            f"this trainer would never start: its buffer is full with {buffer.capacity} turns, "
            f"{buffer.capacity * buffer.num_envs} environment steps, and that is not enough for it; give the buffer a "
            "larger capacity"
        )

    def _copy(self, name: str, model: Model) -> None:
        """Copy what inference needs of a model, as each publication does, and what other training processes need."""
        if self.devices > 1:
            from pamiq_exp.runtime.training_processes import pickled  # imports Lightning, which takes seconds

            pickled({name: model}, self.devices)
        part = _inference_part(model)
        if isinstance(part, nn.Module):
            copy_for_inference(name, part)

    def _pack(self, address: str, part: object) -> None:
        """Pack the states below an address, as a checkpoint does."""
        states = collect_state(part)
        for below, state in states.items():
            pack_state(state, f"{address}.{below}" if below else address)
        if not isinstance(part, Trainer):
            self.result.kept_bytes += _tensor_bytes(states)

    def _measure(self, trainers: Mapping[str, Trainer]) -> None:
        models = torch_modules(self.models).values()
        parameters = [each for model in models for each in model.parameters() if each.grad is not None]
        self.result.gradient_bytes = sum(each.numel() * each.element_size() for each in parameters)
        with suppress(Exception):
            self.result.optimizer_bytes = _tensor_bytes(collect_state(dict(trainers)))
        for _, component in components(dict(trainers)):
            with suppress(Exception):
                component.teardown()


@contextmanager
def _all_warmed_up(modules: Any) -> Iterator[None]:
    """Have modules that wait for a warm-up (`warmed_up`) take part: shapes matter here, not values."""
    waiting = [module for module in modules if isinstance(getattr(type(module), "warmed_up", None), property)]
    classes = [type(module) for module in waiting]
    try:
        for module, cls in zip(waiting, classes, strict=True):
            module.__class__ = type(cls.__name__, (cls,), {"warmed_up": True, "__module__": cls.__module__})
        yield
    finally:
        for module, cls in zip(waiting, classes, strict=True):
            module.__class__ = cls


@contextmanager
def _preserved_globals() -> Iterator[None]:
    """Leave the global generators, gradients and warnings of this process as they are."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _may_depend_on_data(error: Exception) -> bool:
    """Whether an exception went through code of the user's own, and is of a kind that data can cause."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return not isinstance(error, INDEPENDENT_OF_DATA) and any(
        name.partition(".")[0] not in LIBRARIES for name in modules
    )


def _is_shipped(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == OWN


def _inference_part(model: Model) -> Any:
    return model.inference_model() if isinstance(model, Publishable) else inference_part(model)


def _tensor_bytes(state: object) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, np.ndarray):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(_tensor_bytes(value) for value in state.values())
    return sum(_tensor_bytes(value) for value in state) if isinstance(state, (list, tuple)) else 0
