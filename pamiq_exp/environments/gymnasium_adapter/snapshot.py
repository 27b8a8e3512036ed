"""Exact snapshots of environments whose whole state is plain data, such as those of classic control.

An environment is taken apart along its chain of wrappers. If every attribute is a number, a text, an array, a
generator or a nesting of these, restoring the attributes restores the environment bit for bit. Anything else
(a physics engine, a game's emulator, objects that refer to each other) cannot be checked from outside: such an
environment has no snapshot.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from pamiq_exp.environments.gymnasium_adapter.kinds import layers
from pamiq_exp.environments.overlays.pictures import PictureSet

Snapshot = dict[str, str]
"""Attributes by `<depth in the chain of wrappers>.<name>`, each as JSON."""

_KNOWN = (
    "gymnasium.envs.classic_control.",
    "gymnasium.envs.toy_text.",
    "gymnasium.wrappers.",
    "pamiq_exp.environments.overlays.",
    "pamiq_exp.environments.gymnasium_adapter.",
)
_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


class NotPlainError(Exception):
    """An attribute of an environment is not plain data."""


class _LeaveOutError(Exception):
    """An attribute carries no state of the world."""


def take_snapshot(environment: gymnasium.Env[Any, Any], any_class: bool = False) -> Snapshot:
    """Return all state of an environment.

    Args:
        environment: With all its wrappers.
        any_class: Also take classes that are not Gymnasium's own by their attributes. They may keep state
            elsewhere, for example in a simulation that an attribute only refers to.

    Raises:
        NotPlainError: There may be more state than can be taken.
    """
    snapshot: Snapshot = {}
    seen: set[int] = set()
    for depth, layer in enumerate(layers(environment)):
        if not any_class and not type(layer).__module__.startswith(_KNOWN):
            raise NotPlainError(
                f"{type(layer).__name__} may keep state outside of its attributes (if not, set snapshot=true)"
            )
        for name, value in _attributes(layer):
            try:
                snapshot[f"{depth}.{name}"] = json.dumps(_encode(value, seen))
            except _LeaveOutError:
                continue
            except NotPlainError as error:
                raise NotPlainError(f"{type(layer).__name__}.{name} is {error}") from None
    return snapshot


def take_statistics(environment: gymnasium.Env[Any, Any]) -> tuple[Snapshot, list[str]]:
    """Return what can be saved of the wrappers of an environment that has no snapshot.

    Wrappers keep running means, episode statistics and counters. Restore them before a reset, which begins anew what
    belongs to one episode.

    Returns:
        Attributes as in a snapshot, and the names of those that may be state and are more than plain data.
    """
    saved: Snapshot = {}
    lost: list[str] = []
    seen: set[int] = set()
    for depth, layer in enumerate(layers(environment)[:-1]):
        for name, value in _attributes(layer):
            try:
                saved[f"{depth}.{name}"] = json.dumps(_encode(value, seen))
            except _LeaveOutError:
                continue
            except NotPlainError:
                if not callable(value):  # a function with a closure: what it computes, hardly ever what it counted
                    lost.append(f"{type(layer).__name__}.{name}")
    return saved, lost


def restore_snapshot(environment: gymnasium.Env[Any, Any], snapshot: Snapshot) -> None:
    """Give an environment of the same kind and configuration the state of a snapshot."""
    found = layers(environment)
    for address, text in snapshot.items():
        depth, _, name = address.partition(".")
        layer, encoded = found[int(depth)], json.loads(text)
        setattr(layer, name, _decode(encoded, getattr(layer, name, None)))


def _attributes(layer: gymnasium.Env[Any, Any]) -> Iterator[tuple[str, object]]:
    """Yield the attributes of an environment or wrapper, without the environment that it wraps."""
    for name, value in vars(layer).items():
        if not (isinstance(layer, gymnasium.Wrapper) and name == "env"):
            yield name, value


def _encode(value: object, seen: set[int]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return {"scalar": _array(np.asarray(value))}
    if type(value) is tuple:
        return {"tuple": _encode_all(value, seen)}
    if _is_constant(value):
        raise _LeaveOutError
    return _encode_changeable(value, seen)


def _encode_changeable(value: object, seen: set[int]) -> Any:
    if isinstance(value, np.ndarray):
        _once(value if value.base is None else value.base, seen)
        return {"array": _array(value)}
    _once(value, seen)
    if isinstance(value, np.random.Generator):
        return {"generator": _nested(value.bit_generator.state)}
    if type(value) is list:
        return {"list": _encode_all(value, seen)}
    if type(value) is dict:
        return {"dict": [_encode_all(value.keys(), seen), _encode_all(value.values(), seen)]}
    if type(value) is deque:
        return {"deque": [value.maxlen, _encode_all(value, seen)]}
    if _is_plain_object(value):  # running means and the like
        return {"attributes": {name: _encode(each, seen) for name, each in vars(value).items()}}
    raise NotPlainError(f"a {type(value).__module__}.{type(value).__qualname__}")


def _encode_all(values: Iterable[object], seen: set[int]) -> list[Any]:
    encoded: list[Any] = []
    left_out = 0
    for value in values:
        try:
            encoded.append(_encode(value, seen))
        except _LeaveOutError:
            left_out += 1
    if left_out and encoded:
        raise NotPlainError("a mixture of plain data and other things")
    if left_out:
        raise _LeaveOutError
    return encoded


def _once(value: object, seen: set[int]) -> None:
    """Two attributes that share one changeable object would come back as two objects."""
    if id(value) in seen:
        raise NotPlainError("shared with another attribute")
    seen.add(id(value))


def _is_constant(value: object) -> bool:
    if isinstance(value, gymnasium.Space):
        return value._np_random is None  # a space that is sampled from has state of its own
    if isinstance(value, FunctionType):
        return value.__closure__ is None
    if isinstance(value, (EnvSpec, PictureSet, type, BuiltinFunctionType, ModuleType)):
        return True
    return type(value).__module__.partition(".")[0] == "pygame"  # surfaces are drawn anew for every frame


def _is_plain_object(value: object) -> bool:
    """Whether all state of an object lies in attributes: its classes are written in Python, none of them in C."""
    if isinstance(value, gymnasium.Env) or callable(value) or not hasattr(value, "__dict__"):
        return False
    modules = [sys.modules.get(cls.__module__) for cls in type(value).__mro__[:-1]]
    return all(str(getattr(module, "__file__", "")).endswith(".py") for module in modules)


def _array(value: np.ndarray[Any, Any]) -> dict[str, Any]:
    if value.dtype.hasobject:
        raise NotPlainError("an array of objects")
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}


def _nested(state: Any) -> Any:
    """Encode the nested dict of a bit generator, whose integers JSON keeps as they are."""
    if isinstance(state, dict):
        return {key: _nested(item) for key, item in state.items()}
    if isinstance(state, np.ndarray):
        return {"__array__": _array(state)}
    return state if isinstance(state, str) else int(state)


def _unnested(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    if "__array__" in state:
        return _from_array(state["__array__"])
    return {key: _unnested(item) for key, item in state.items()}


def _from_array(encoded: dict[str, Any]) -> np.ndarray[Any, Any]:
    data = np.frombuffer(base64.b64decode(encoded["data"]), dtype=np.dtype(encoded["dtype"]))
    return data.reshape(encoded["shape"]).copy()


def _decode(encoded: Any, present: object = None) -> Any:
    """Return what was encoded. An object of another class, `present`, is given its attributes back where it stands."""
    if not isinstance(encoded, dict):
        return encoded
    ((kind, content),) = encoded.items()
    if kind == "scalar":
        return _from_array(content)[()]
    if kind == "array":
        return _from_array(content)
    if kind == "generator":
        return _generator(_unnested(content))
    if kind == "attributes":
        for name, value in content.items():
            setattr(present, name, _decode(value, getattr(present, name, None)))
        return present
    if kind == "deque":
        return deque((_decode(item) for item in content[1]), content[0])
    if kind == "dict":
        return dict(zip(map(_decode, content[0]), map(_decode, content[1]), strict=True))
    items = [_decode(item) for item in content]
    return tuple(items) if kind == "tuple" else items


def _generator(state: dict[str, Any]) -> np.random.Generator:
    name = state["bit_generator"]
    if name not in _BIT_GENERATORS:
        raise ValueError(f"a snapshot names the unknown bit generator '{name}'")
    bit_generator = getattr(np.random, name)()
    bit_generator.state = state
    return np.random.Generator(bit_generator)
