"""From config nodes to objects."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pamiq_exp.config.allow_list import AllowList
from pamiq_exp.config.keys import join
from pamiq_exp.config.problems import ConfigError, Problem, words_of
from pamiq_exp.config.targets import argument_problems, find_target, name_problem

SPECIAL_KEYS = ("_target_", "_args_", "_partial_")


def target_nodes(node: object, key: str = "") -> Iterator[tuple[str, Mapping[str, object]]]:
    """Yield `(address, node)` for every node with a `_target_` in a plain tree, parents first."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from target_nodes(value, join(key, name))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from target_nodes(value, join(key, index))


class Builder:
    """Builds objects from plain config nodes: a mapping with `_target_` becomes a call of what it names.

    `_args_` holds arguments by position, `_partial_: true` gives a `functools.partial` that waits for the rest.
    Mappings and lists without a target stay what they are, with what lies in them built. Nothing is remembered: a
    node that two others refer to is built twice.

    Args:
        allow: What a config may name.
    """

    def __init__(self, allow: AllowList) -> None:
        self.allow = allow

    def problems(self, node: object, key: str, given: tuple[str, ...] = ()) -> list[Problem]:
        """Return everything that is wrong with the targets in a tree and their arguments; nothing is built.

        Args:
            node: A plain tree; interpolations may still stand in it.
            key: Its address.
            given: Names of arguments that the topmost node will be given besides its own.
        """
        nodes = list(target_nodes(node, key))
        named = [problem for at, each in nodes if (problem := name_problem(each["_target_"], at, self.allow))]
        if named:
            return named
        found = []
        for address, each in nodes:
            try:
                self._checked(each, address, given if address == key else ())
            except ConfigError as error:
                found += error.problems
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
            return {name: self.build(value, join(key, name)) for name, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [self.build(value, join(key, index)) for index, value in enumerate(node)]
        return node

    def _call(self, node: Mapping[str, object], key: str, given: Mapping[str, object]) -> Any:
        target = self._checked(node, key, tuple(given))
        positional = self.build(node.get("_args_", []), join(key, "_args_"))
        keywords = {
            name: self.build(value, join(key, name))
            for name, value in node.items()
            if name not in SPECIAL_KEYS and name not in given
        }
        keywords |= given
        if node.get("_partial_", False):
            return functools.partial(target, *positional, **keywords)
        try:
            return target(*positional, **keywords)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(_told(error, node, key)) from error

    def _checked(self, node: Mapping[str, object], key: str, given: tuple[str, ...]) -> Any:
        target = find_target(node["_target_"], key, self.allow)
        arguments, partial = node.get("_args_", []), node.get("_partial_", False)
        if not isinstance(arguments, list):
            raise ConfigError(Problem(f"{key}._args_", f"expected a list, not {arguments!r}"))
        if not isinstance(partial, bool):
            raise ConfigError(Problem(f"{key}._partial_", f"expected true or false, not {partial!r}"))
        keywords = {str(name) for name in node if name not in SPECIAL_KEYS} | set(given)
        problems = argument_problems(target, key, len(arguments), keywords, partial=partial)
        if problems:
            raise ConfigError(problems)
        return target


def _told(error: Exception, node: Mapping[str, object], key: str) -> Problem:
    """Turn what a constructor raised into a problem; the words of a plain ValueError are meant for users."""
    text = words_of(error)
    kind = "" if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: "
    return Problem(key, f"{kind}{text}", f"(while building {node['_target_']})")
