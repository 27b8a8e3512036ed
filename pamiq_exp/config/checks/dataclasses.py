"""Config nodes that are dataclasses: read them, and tell what does not fit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from pamiq_exp.config.checks.types import value_problems
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
        raise ConfigError([problem_of(line, key) for line in str(error).splitlines()]) from error


def problem_of(text: str, key: str) -> Problem:
    """Turn what a class says of its arguments into a problem of the key that it names, else of `key`."""
    found = re.match(rf"({re.escape(key)}(?:[.\[][\w.\[\]]*\w\]?)?)(?::|(?= ))\s*", text)
    return Problem(found[1], text[found.end() :]) if found else Problem(key, text)


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
        else:
            yield from value_problems(hints[name], value, address)


def _construct(cls: type[T], node: Any) -> T:
    hints = get_type_hints(cls)
    values = {name: _construct(hints[name], value) if dataclasses.is_dataclass(hints[name]) else value
              for name, value in node.items()}  # fmt: skip
    return cls(**values)
