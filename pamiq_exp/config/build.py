"""From config nodes to objects."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.dataclasses import error_of
from pamiq_exp.config.checks.types import hints_of, value_errors
from pamiq_exp.config.errors import ConfigError, ErrorDetail, words_of
from pamiq_exp.config.targets import argument_errors, find_target, node_errors, parameters_of
from pamiq_exp.config.tree_paths import join, target_nodes
from pamiq_exp.config.unused_keys import UnusedKeys
from pamiq_exp.trust import trusting

SPECIAL_KEYS = ("_target_", "_args_", "_partial_")
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Postponed(Exception):  # noqa: N818 - nothing is wrong
    """A part that cannot be built without calling a function, which is left to the run."""


class Builder:
    """Builds objects from plain config nodes: a mapping with `_target_` becomes a call of what it names.

    `_args_` holds arguments by position, `_partial_: true` gives a `functools.partial` that waits for the rest.
    Mappings and lists without a target stay what they are, with what lies in them built. Nothing is remembered: a
    node that two others refer to is built twice.

    Args:
        allow: What a config may name.
        for_dry_run: Leave out arguments that a function would make, or, where one cannot be left out, raise
            Postponed: a function may do work of any length, such as a walk through the world.
        unread: Watches which keys of mappings are read.
    """

    def __init__(self, allow: AllowList, *, for_dry_run: bool = False, unread: UnusedKeys | None = None) -> None:
        self.allow = allow
        self.for_dry_run = for_dry_run
        self.unread = unread

    def errors(self, node: object, key: str, given: tuple[str, ...] = ()) -> list[ErrorDetail]:
        """Return everything that is wrong with the targets in a tree and their arguments; nothing is built.

        Args:
            node: A plain tree; interpolations may still stand in it.
            key: Its address.
            given: Names of arguments that the topmost node will be given besides its own.
        """
        nodes = list(target_nodes(node, key))
        named = [detail for at, each in nodes for detail in node_errors(each, at, self.allow)]
        if named:
            return named
        found: list[ErrorDetail] = []
        for address, each in nodes:
            names = given if address == key else ()
            try:
                found += self._value_errors(each, address, names)
                self._checked(each, address, names)
            except ConfigError as error:
                found += error.errors
        return found

    def build(self, node: object, key: str, given: Mapping[str, object] = MappingProxyType({})) -> Any:
        """Build a tree.

        Args:
            node: A plain tree without interpolations.
            key: Its address, for messages.
            given: Objects that take the place of the topmost node's own entries of these names.

        Raises:
            ConfigError: For a target that is not allowed or does not exist, arguments that do not fit, and
                whatever a constructor raised.
        """
        if isinstance(node, Mapping):
            if "_target_" in node:
                return self._call(node, key, given)
            parts = self._build_all({name: (join(key, name), value) for name, value in node.items()})
            return parts if self.unread is None else self.unread.watched(parts, key)
        if isinstance(node, (list, tuple)):
            items = self._build_all({index: (join(key, index), value) for index, value in enumerate(node)})
            return list(items.values())
        return node

    def _build_all(self, parts: Mapping[Any, tuple[str, object]]) -> dict[Any, Any]:
        """Build each part at its address; raise what is wrong with all of them together."""
        built, errors = {}, []
        for name, (key, value) in parts.items():
            try:
                built[name] = self.build(value, key)
            except ConfigError as error:
                errors += error.errors
        if errors:
            raise ConfigError(errors)
        return built

    def _call(self, node: Mapping[str, object], key: str, given: Mapping[str, object]) -> Any:
        target = self._checked(node, key, tuple(given))
        own = {
            name: (join(key, name), value)
            for name, value in node.items()
            if (name == "_args_" or name not in SPECIAL_KEYS)
            and name not in given
            and not (self.for_dry_run and self._waits(target, name, value, key))
        }
        keywords = self._build_all(own)
        positional = keywords.pop("_args_", [])
        keywords |= given
        if node.get("_partial_", False):
            return functools.partial(target, *positional, **keywords)
        try:
            with trusting(self.allow.trusted):
                return target(*positional, **keywords)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(_constructor_error(error, node, key)) from error

    def _waits(self, target: Any, name: str, value: object, key: str) -> bool:
        """Whether an argument is made by a function and can be left out. Raises Postponed if it cannot."""
        if not isinstance(value, Mapping) or "_target_" not in value or value.get("_partial_", False):
            return False
        if inspect.isclass(find_target(value["_target_"], join(key, name), self.allow)):
            return False
        parameter = parameters_of(target).get(name)
        if parameter is None or parameter.default is inspect.Parameter.empty:
            raise Postponed(key)
        return True

    def arguments(self, node: Mapping[str, Any], key: str) -> Iterator[tuple[inspect.Parameter, str, Any]]:
        """Yield the arguments of a node, also those by position: parameter, address and value.

        Arguments that the target has no parameter for are left out. Raises ConfigError for no such target.
        """
        parameters = parameters_of(find_target(node["_target_"], key, self.allow))
        by_position = [each for each in parameters.values() if each.kind in POSITIONAL]
        values = node.get("_args_")
        pairs = zip(by_position, values if isinstance(values, list) else (), strict=False)
        for index, (parameter, value) in enumerate(pairs):
            yield parameter, join(join(key, "_args_"), index), value
        for name, value in node.items():
            if name not in SPECIAL_KEYS and name in parameters and parameters[name].kind not in STARRED:
                yield parameters[name], join(key, name), value

    def _value_errors(self, node: Mapping[str, Any], key: str, given: tuple[str, ...]) -> list[ErrorDetail]:
        """Return the arguments of a node whose values do not fit the annotations of what it names."""
        hints = hints_of(find_target(node["_target_"], key, self.allow))
        return [
            detail
            for parameter, address, value in self.arguments(node, key)
            if parameter.name in hints and parameter.name not in given
            if not (value is None and parameter.default is None)
            for detail in value_errors(hints[parameter.name], value, address, self._locate)
        ]

    def _locate(self, target: object) -> object:
        try:
            return find_target(target, "", self.allow)
        except ConfigError:
            return None

    def _checked(self, node: Mapping[str, object], key: str, given: tuple[str, ...]) -> Any:
        target = find_target(node["_target_"], key, self.allow)
        arguments, partial = node.get("_args_", []), node.get("_partial_", False)
        if not isinstance(arguments, list):
            raise ConfigError(ErrorDetail(f"{key}._args_", f"expected a list, not {arguments!r}"))
        if not isinstance(partial, bool):
            raise ConfigError(ErrorDetail(f"{key}._partial_", f"expected true or false, not {partial!r}"))
        keywords = {str(name) for name in node if name not in SPECIAL_KEYS} | set(given)
        errors = argument_errors(target, key, len(arguments), keywords, partial=partial)
        if errors:
            raise ConfigError(errors)
        return target


def _constructor_error(error: Exception, node: Mapping[str, object], key: str) -> ErrorDetail:
    """Turn what a constructor raised into an error detail; the message of a plain ValueError is meant for users."""
    text = words_of(error)
    if not (isinstance(error, (ValueError, OSError)) and " " in text):  # a single word is no sentence for users
        words = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return ErrorDetail(key, words, f"(while building {node['_target_']})")
    detail = error_of(text, key)
    if detail.key == key:
        # Messages quote what they complain about: that is the argument to look at.
        quoted = [name for name, value in node.items() if value and isinstance(value, str) and repr(value) in text]
        detail = ErrorDetail(f"{key}.{quoted[0]}", detail.message) if len(quoted) == 1 else detail
    return ErrorDetail(detail.key, detail.message, f"(while building {node['_target_']})")


@contextmanager
def seeded(seed: int, key: str) -> Iterator[None]:
    """Give what is built at `key` a random stream of its own: torch initializes layers from its global generator."""
    import torch

    from pamiq_exp.seeding import derive_seed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, key))
        yield
