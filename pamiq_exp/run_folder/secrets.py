"""Masking of secrets in everything that is written, shown or sent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pamiq_exp.files import parse_yaml
from pamiq_exp.formatting import MASK

_SECRET_VARIABLE = re.compile(r"SECRET|PASSWORD|PASSPHRASE|(KEY|TOKEN)S?\d*(?=_|$)", re.IGNORECASE)
# In a config, `observation_key: image` and `token_dim: 64` are no secrets, and masking them would make
# the saved config useless. So: upper-case names as in an environment, or unambiguous words.
_SECRET_KEY = re.compile(
    r"SECRET|PASSWORD|(KEY|TOKEN)S?\d*(?=_|$)"
    r"|(^|[_.+~-])(token|secret|password|passwd|passphrase|credentials?)$"
    r"|(api|access|private|secret|auth|signing|encryption)_?key$"
)
# Of sequence models: `pad_token: "<pad>"` names a symbol.
_SYMBOL_KEY = re.compile(
    r"(pad(ding)?|mask|cls|class|bos|eos|sep|unk|unknown|start|end|stop|begin|next|special|prompt|image|video|audio|action"
    r"|register|memory|query|latent|separator)_token$",
    re.IGNORECASE,
)
_SYMBOL = re.compile(r"<[^<>]*>|\[[^\[\]]*\]")
_REFERENCE = re.compile(r"\$\{[\w.:\[\]]*\}")
_WORD = re.compile(r"[a-z]{1,11}|[A-Z]{1,11}|[A-Z][a-z]{1,10}|[-+]?[\d.]{1,7}")
_SHORTEST_INSIDE_TEXT = 8
_SHORTEST = 4
_SHORTEST_WORD = 3
_noted: set[str] = set()


def note_secrets(value: Any) -> None:
    """Remember the secrets in a config or in command-line words: no later text of this process shows them.

    Args:
        value: Plain data, as in `mask_secrets`.
    """
    found = (secret.strip("'\"") for secret in _secrets_in(value, _mask(value, ())))
    _noted.update(secret for secret in found if len(secret) >= _SHORTEST_WORD)


def mask_secrets(value: Any, environment: Mapping[str, str] | None = None) -> Any:
    """Return a copy of nested dicts and lists in which every secret is replaced by `***`.

    A secret is a string under a name such as `api_key`, `password` or `*_TOKEN`, and, wherever it stands,
    the value of an environment variable with KEY, TOKEN, SECRET or PASSWORD in its name. Strings of
    the form `name=value` (command-line overrides) are treated as a name with its value.

    Not taken for secrets are paths that exist, references (`${...}`), symbols of sequence models
    (`pad_token: <pad>`), and, in the environment, short plain words and numbers.

    Args:
        value: Plain data: what a config, a manifest or a command line consists of.
        environment: Where secrets are looked up; by default the environment of this process.
    """
    return _mask(value, secret_values(environment))


def mask_text(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return `text` without the secrets of the environment and of the configs so far: for logs and error messages.

    Those of configs are masked wherever they stand as words.
    """
    for secret in sorted(_noted, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return _mask_text(text, secret_values(environment))


def mask_yaml(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the text of a YAML file with its secrets replaced by `***`, and everything else as it stands.

    What cannot be read as YAML, or keeps a secret all the same, is left out.
    """
    secrets = secret_values(environment)
    found = _secrets_of(text, secrets)
    if found == set():
        return text
    for secret in sorted(found or (), key=len, reverse=True):
        for quoted in (f'"{secret}"', f"'{secret}'"):
            text = text.replace(quoted, f"'{MASK}'")
        # A value that began with the mask would be taken for an alias.
        text = re.sub(rf"(?m)(^|[:,\[{{-]\s+|\[|{{){re.escape(secret)}", rf"\1'{MASK}'", text).replace(secret, MASK)
    if found is None or _secrets_of(text, secrets) or any(len(secret) < _SHORTEST for secret in found):
        return "# this file was not kept: it holds a secret, or is no YAML\n"
    return text


def _secrets_of(text: str, secrets: Sequence[str]) -> set[str] | None:
    """The secrets in the text of a YAML file; None if it is none."""
    try:
        tree = parse_yaml(text)
    except ValueError:
        return None
    in_comments = {secret for secret in secrets if len(secret) >= _SHORTEST_INSIDE_TEXT and secret in text}
    return in_comments | set(_secrets_in(tree, _mask(tree, secrets)))


def _secrets_in(value: Any, masked: Any) -> Iterator[str]:
    """Yield the texts that differ between a tree and its masked copy."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _secrets_in(item, masked[name])
    elif isinstance(value, (list, tuple)):
        for item, other in zip(value, masked, strict=True):
            yield from _secrets_in(item, other)
    elif isinstance(value, str) and value != masked:
        yield value.partition("=")[2] if str(masked).endswith(f"={MASK}") else value


def secret_values(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the values of secret environment variables, longest first; short words, numbers and paths are none."""
    variables = os.environ if environment is None else environment
    found = {
        value
        for name, value in variables.items()
        if _SECRET_VARIABLE.search(name)
        and len(value) >= _SHORTEST
        and _WORD.fullmatch(value) is None
        and not _is_path(value)
    }
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
    if isinstance(value, str) and _is_secret(key, value):
        return MASK
    if isinstance(value, (list, tuple)):
        return [_mask_named(key, item, secrets) for item in value]
    return _mask(value, secrets)


def _is_secret(name: str, value: str) -> bool:
    """Whether what stands under a name is a secret, as far as both show."""
    if not value or _SECRET_KEY.search(name) is None or _SYMBOL_KEY.search(name) is not None:
        return False
    bare = value.strip("'\"")
    return not (_SYMBOL.fullmatch(bare) or _REFERENCE.fullmatch(bare) or _is_path(bare))


def _is_path(text: str) -> bool:
    """Whether a text is a path of this machine: it exists, or at least its first folder does."""
    path = os.path.expanduser(text)
    first = path[: path.find(os.sep, 1)] if path.count(os.sep) > 1 and os.path.isabs(path) else path
    return os.path.exists(path) or os.path.isdir(first)


def _mask_override(text: str) -> str:
    name, equals, value = text.partition("=")
    return f"{name}={MASK}" if equals and _is_secret(name.strip(), value) else text


def _mask_text(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_INSIDE_TEXT:
            text = text.replace(secret, MASK)
        elif text == secret:
            return MASK
    return text
