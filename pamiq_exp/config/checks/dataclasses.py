"""Config nodes that are dataclasses: read them, and tell what does not fit."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar, get_type_hints

from pamiq_exp.config.checks.types import field_errors
from pamiq_exp.config.errors import ConfigError, ErrorDetail

T = TypeVar("T")


def read_dataclass(cls: type[T], node: object, key: str) -> T:
    """Return the instance of the dataclass `cls` that a plain config node describes.

    Raises:
        ConfigError: With every unknown key and wrong type, or what the class itself says of a value.
    """
    if errors := list(field_errors(cls, node, key)):
        raise ConfigError(errors)
    try:
        return _construct(cls, node)
    except ValueError as error:
        raise ConfigError([error_of(line, key) for line in str(error).splitlines()]) from error


def error_of(text: str, key: str) -> ErrorDetail:
    """Turn a message about an argument of a class into an error of the key that it names, else of `key`."""
    found = re.match(rf"({re.escape(key)}(?:[.\[][\w.\[\]]*\w\]?)?)(?::|(?= ))\s*", text)
    return ErrorDetail(found[1], text[found.end() :]) if found else ErrorDetail(key, text)


def _construct(cls: type[T], node: Any) -> T:
    hints = get_type_hints(cls)
    values = {name: _construct(hints[name], value) if dataclasses.is_dataclass(hints[name]) else value
              for name, value in node.items()}  # fmt: skip
    return cls(**values)
