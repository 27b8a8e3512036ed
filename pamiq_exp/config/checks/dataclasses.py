"""Config nodes that are dataclasses: read them, and tell what does not fit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_type_hints

from pamiq_exp.config.checks.types import value_errors
from pamiq_exp.config.errors import ConfigError, ErrorDetail, nearest

T = TypeVar("T")


def read_dataclass(cls: type[T], node: object, key: str) -> T:
    """Return the instance of the dataclass `cls` that a plain config node describes.

    Raises:
        ConfigError: With every unknown key and wrong type, or what the class itself says of a value.
    """
    errors = list(dataclass_errors(cls, node, key))
    if errors:
        raise ConfigError(errors)
    try:
        return _construct(cls, node)
    except ValueError as error:
        raise ConfigError([error_of(line, key) for line in str(error).splitlines()]) from error


def error_of(text: str, key: str) -> ErrorDetail:
    """Turn a message about an argument of a class into an error of the key that it names, else of `key`."""
    found = re.match(rf"({re.escape(key)}(?:[.\[][\w.\[\]]*\w\]?)?)(?::|(?= ))\s*", text)
    return ErrorDetail(found[1], text[found.end() :]) if found else ErrorDetail(key, text)


def dataclass_errors(cls: type, node: object, key: str) -> Iterator[ErrorDetail]:
    """Yield the unknown keys and wrong types of a config node that describes the dataclass `cls`."""
    if not isinstance(node, Mapping):
        yield ErrorDetail(key, f"expected keys and values, not {node!r}")
        return
    hints = get_type_hints(cls)
    for name, value in node.items():
        address = f"{key}.{name}"
        if name not in hints:
            yield ErrorDetail(address, "there is no such key", nearest(str(name), hints, listing=f"{key} has"))
        elif dataclasses.is_dataclass(hints[name]):
            yield from dataclass_errors(hints[name], value, address)
        else:
            yield from value_errors(hints[name], value, address)


def _construct(cls: type[T], node: Any) -> T:
    hints = get_type_hints(cls)
    values = {name: _construct(hints[name], value) if dataclasses.is_dataclass(hints[name]) else value
              for name, value in node.items()}  # fmt: skip
    return cls(**values)
