"""Traced or compiled inference copies: small networks spend most of a step between the operations, in Python."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from pamiq_exp.runtime.config import Inference

logger = logging.getLogger(__name__)

METHODS = ("forward", "encode", "step")
"""Methods by which agents and rewards use models: tensors in, tensors out."""

_WARM_UP_CALLS = 3
"""The first calls of a traced function measure and optimize it."""

_Call: TypeAlias = Callable[..., tuple[Tensor, ...]]


class QuickInference:
    """Replaces methods of inference copies by traced or compiled ones.

    A method is traced (or compiled) once for each kind of arguments, so for each number of environments, at its first
    call, for all copies of the model. Tensors of a copy stay where they are, so publications go on being copied
    into them. What cannot be traced stays as it is: code that decides by numbers in a tensor, unknown arguments.
    A method may depend on its arguments and on the tensors of its model, and on nothing else that changes.

    Args:
        way: How.

    Attributes:
        notes: What became of each method that was called: `traced`, `compiled`, or `eager` with the reason.
    """

    def __init__(self, way: Inference) -> None:
        self._way = way
        self.notes: dict[str, str] = {}
        self._busy = False

    @property
    def way(self) -> Inference:
        """How methods are made quick."""
        return self._way

    @contextmanager
    def making(self) -> Iterator[None]:
        """Call methods as they are while one of them is traced."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a method is being traced."""
        return self._busy

    def prepare(self, name: str, copies: Sequence[nn.Module]) -> None:
        """Replace the methods of all copies of a model. Nothing is traced yet."""
        if self._way == "eager":
            return
        for method in METHODS:
            eager = getattr(type(copies[0]), method, None)
            if eager is not None and eager is not nn.Module.forward:
                shared = _Method(f"{name}.{method}", eager, copies, self)
                for index, each in enumerate(copies):
                    setattr(each, method, _BoundMethod(shared, index))


class _BoundMethod:
    """A method of one copy, in place of the method of its class."""

    def __init__(self, method: _Method, index: int) -> None:
        self._method = method
        self._index = index

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._method.call(self._index, arguments, named)


class _Method:
    """A method of all copies of a model.

    Args:
        name: Of model and method, for the notes.
        eager: The function of the class.
        copies: The modules.
        owner: Has the way, and gets a note of what became of it.
    """

    def __init__(
        self, name: str, eager: Callable[..., Any], copies: Sequence[nn.Module], owner: QuickInference
    ) -> None:
        self._name = name
        self._eager = eager
        self._copies = copies
        self._owner = owner
        self._made: dict[Any, tuple[list[_Call], Any] | None] = {}

    def call(self, index: int, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call the method of one copy."""
        if named or self._owner.busy:
            return self._eager(self._copies[index], *arguments, **named)
        key, tensors = _kind_and_tensors(arguments)
        if key not in self._made:
            with self._owner.making():
                self._made[key] = self._make(index, arguments, tensors)
        made = self._made[key]
        if made is None:
            return self._eager(self._copies[index], *arguments)
        calls, output = made
        return _put_together(output, calls[index](*tensors), self._copies[index])

    def _make(self, index: int, arguments: tuple[Any, ...], tensors: list[Tensor]) -> tuple[list[_Call], Any] | None:
        try:
            generators = [torch.Generator(each.device) for each in arguments if isinstance(each, torch.Generator)]
            unused = [each.get_state() for each in generators]
            own = iter(generators)
            structure = _take_apart(
                tuple(next(own) if isinstance(each, torch.Generator) else each for each in arguments), [], {}
            )
            functions = [_Function(each, self._eager, structure) for each in self._copies]
            # First, so that what a model keeps for later calls is not made of the tensors of a trace.
            expected = functions[index](*tensors)
            calls = [self._quick(each, tensors) for each in functions]
            if any(not torch.equal(each.get_state(), state) for each, state in zip(generators, unused, strict=True)):
                raise ValueError("it draws random numbers")
            for _ in range(_WARM_UP_CALLS):
                for call in calls:
                    found = call(*tensors)
            found = calls[index](*tensors)
            if not all(
                torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in zip(found, expected, strict=True)
            ):
                raise ValueError("its results differ from those of the eager method")
        except Exception as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            self._owner.notes[self._name] = f"eager: {type(error).__name__}: {reason}"
            logger.warning("%s is not %s but eager: %s", self._name, self._owner.way, reason)
            return None
        self._owner.notes.setdefault(self._name, self._owner.way)
        return calls, functions[index].output

    def _quick(self, function: _Function, tensors: list[Tensor]) -> _Call:
        if self._owner.way == "compiled":
            compiled: _Call = torch.compile(function, dynamic=False, fullgraph=True)
            return compiled
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each look at a shape is a warning; other shapes are traced anew
            # Runs without values: code that asks for numbers in a tensor, which a trace would silently fix, fails here.
            torch.export.export(function, tuple(tensors), strict=False)
            traced: _Call = torch.jit.trace(  # type: ignore[no-untyped-call]
                function, tuple(tensors), check_trace=False
            )
        return traced


class _Function(nn.Module):
    """A method as a module of its own, from tensors to tensors.

    Attributes:
        output: What the method returned, with places for the tensors.
    """

    def __init__(self, module: nn.Module, method: Callable[..., Any], arguments: Any) -> None:
        super().__init__()
        # Not the module itself: tracing looks at all properties, and some of a LightningModule's raise.
        self.tensors = nn.Module()
        for kind in ("_parameters", "_buffers", "_modules"):
            self.tensors.__dict__[kind] = module.__dict__[kind]
        self._module = (module,)
        self._method = method
        self._arguments = arguments
        self.output: Any = None
        self.eval()

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Call the method."""
        found: list[Tensor] = []
        (module,) = self._module
        result = self._method(module, *_put_together(self._arguments, tensors, module))
        names = {part: name for name, part in module.named_modules()}
        output = _take_apart(result, found, names)
        if self.output is None:
            self.output = output
        return tuple(found)


@dataclass(frozen=True)
class _Place:
    """Where a tensor belongs."""

    index: int


@dataclass(frozen=True)
class _Part:
    """A part of the model itself."""

    name: str


@dataclass(frozen=True)
class _Object:
    """An object that holds tensors in its attributes."""

    kind: type
    attributes: dict[str, Any]


def _kind_and_tensors(arguments: tuple[Any, ...]) -> tuple[Any, list[Tensor]]:
    """Return what has to be equal for the same trace to fit, and the tensors, in the order of `_take_apart`."""
    kind: list[Any] = []
    tensors: list[Tensor] = []
    for argument in arguments:
        if isinstance(argument, Tensor):
            kind.append((argument.shape, argument.dtype))
            tensors.append(argument)
        elif isinstance(argument, Mapping):
            for name, value in argument.items():
                kind.append((name, value.shape, value.dtype))
                tensors.append(value)
        else:
            kind.append(argument)
    return tuple(kind), tensors


def _take_apart(value: Any, found: list[Tensor], parts: Mapping[nn.Module, str]) -> Any:
    """Replace tensors by their places and parts of a model by their names, and collect the tensors.

    In tuples, lists, mappings and objects.
    """
    if isinstance(value, Tensor):
        found.append(value)
        return _Place(len(found) - 1)
    if isinstance(value, Mapping):
        return {name: _take_apart(item, found, parts) for name, item in value.items()}
    if isinstance(value, tuple):
        items = [_take_apart(item, found, parts) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [_take_apart(item, found, parts) for item in value]
    if value is None or isinstance(value, (bool, int, float, str, torch.Generator)):
        return value
    if isinstance(value, nn.Module) and value in parts:
        return _Part(parts[value])
    if hasattr(value, "__dict__") and not isinstance(value, nn.Module):
        return _Object(type(value), {name: _take_apart(item, found, parts) for name, item in vars(value).items()})
    raise TypeError(f"it takes or returns a {type(value).__name__}")


def _put_together(structure: Any, tensors: Sequence[Tensor], module: nn.Module) -> Any:
    """Undo `_take_apart` with other tensors, and the parts of another copy of the model."""
    if isinstance(structure, _Place):
        return tensors[structure.index]
    if isinstance(structure, _Part):
        return module.get_submodule(structure.name)
    if isinstance(structure, _Object):
        made: Any = object.__new__(structure.kind)
        for name, item in structure.attributes.items():
            object.__setattr__(made, name, _put_together(item, tensors, module))
        return made
    if isinstance(structure, dict):
        return {name: _put_together(item, tensors, module) for name, item in structure.items()}
    if isinstance(structure, tuple):
        items = [_put_together(item, tensors, module) for item in structure]
        return type(structure)(*items) if hasattr(structure, "_fields") else tuple(items)
    if isinstance(structure, list):
        return [_put_together(item, tensors, module) for item in structure]
    return structure
