"""Secrets are masked before anything is written, shown or sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

MASK = "***"

_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
# In a config, `observation_key: image` and `token_dim: 64` are no secrets, and masking them would make
# the saved config useless. So: upper-case names as in an environment, or words that leave no doubt.
_SECRET_KEY = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD"
    r"|(^|[_.+~-])(token|secret|password|passwd|passphrase|credentials?)$"
    r"|(api|access|private|secret|auth|signing|encryption)_?key$"
)
_SHORTEST_INSIDE_TEXT = 8
_SHORTEST = 4


def mask_secrets(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """Return a copy of nested dicts and lists in which every secret is replaced by `***`.

    A secret is a string under a name such as `api_key`, `password` or `*_TOKEN`, and, wherever it stands,
    the value of an environment variable whose name contains KEY, TOKEN, SECRET or PASSWORD. Strings of
    the form `name=value` (command-line overrides) are treated as a name with its value.

    Args:
        value: Plain data: what a config, a manifest or a command line consists of.
        environment: Where secrets are looked up; by default the environment of this process.
    """
    return _mask(value, secret_values(environment))


def mask_text(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return `text` with every secret of the environment replaced by `***`: for logs and error messages."""
    return _mask_text(text, secret_values(environment))


def secret_values(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the values of secret environment variables, longest first; very short ones are no secrets."""
    variables = os.environ if environment is None else environment
    found = {value for name, value in variables.items() if _SECRET_VARIABLE.search(name) and len(value) >= _SHORTEST}
    return tuple(sorted(found, key=lambda value: (-len(value), value)))


def _mask(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _mask_named(str(key), item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mask(item, secrets) for item in value]
    if isinstance(value, str):
        return _mask_text(_mask_override(value), secrets)
    return value


def _mask_named(key: str, value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str) and value and _SECRET_KEY.search(key):
        return MASK
    return _mask(value, secrets)


def _mask_override(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{name}={MASK}" if equals and value and _SECRET_KEY.search(name.strip()) else text


def _mask_text(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_INSIDE_TEXT:
            text = text.replace(secret, MASK)
        elif text == secret:
            return MASK
    return text
