"""Config nodes that are dataclasses: read them, and tell what does not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pamiq_exp.config.problems import ConfigError, Problem, nearest

T = TypeVar("T")


def read_dataclass(cls: type[T], node: object, key: str) -> T:
    """Return the instance of the dataclass `cls` that a plain config node describes.

    Raises:
        ConfigError: With every unknown key and wrong type, or what the class itself says of a value.
    """
    problems = list(dataclass_problems(cls, node, key))
    if problems:
        raise ConfigError(problems)
    try:
        return _construct(cls, node)
    except ValueError as error:
        text = str(error)
        raise ConfigError(Problem("" if text.startswith(key) else key, text)) from error


def dataclass_problems(cls: type, node: object, key: str) -> Iterator[Problem]:
    """Yield the unknown keys and wrong types of a config node that describes the dataclass `cls`."""
    if not isinstance(node, Mapping):
        yield Problem(key, f"expected keys and values, not {node!r}")
        return
    hints = get_type_hints(cls)
    for name, value in node.items():
        address = f"{key}.{name}"
        if name not in hints:
            yield Problem(address, "there is no such key", nearest(str(name), hints, listing=f"{key} has"))
        elif dataclasses.is_dataclass(hints[name]):
            yield from dataclass_problems(hints[name], value, address)
        elif not _fits(hints[name], value):
            yield Problem(address, f"expected {_describe(hints[name])}, not {value!r}")


def _construct(cls: type[T], node: Any) -> T:
    hints = get_type_hints(cls)
    values = {name: _construct(hints[name], value) if dataclasses.is_dataclass(hints[name]) else value
              for name, value in node.items()}  # fmt: skip
    return cls(**values)


def _fits(hint: Any, value: object) -> bool:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_fits(option, value) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(_describe(option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(hint))
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
    return words.get(hint) or str(getattr(hint, "__name__", hint))
