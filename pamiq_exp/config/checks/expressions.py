"""A text with `${...}` in a config, and what it comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NoReturn, Protocol

from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse
from omegaconf.grammar_visitor import GrammarVisitor

from pamiq_exp.config.errors import ErrorDetail, Origin, least, least_of, nearest
from pamiq_exp.config.hydra_internals import raw_name
from pamiq_exp.config.resolvers import (
    READABLE_ENVIRONMENT,
    READS_THE_MACHINE,
    RESOLVERS,
    SIZES,
    WITH_THE_CONFIG,
    UnknownSizeError,
    derived_seed,
)
from pamiq_exp.config.tree_paths import join, leaves, parent, select

FILLED_IN_LATER = "spaces"
"""What is not there yet: it comes from the environment."""

UNKNOWN = "\0"
"""Stands for what is not known yet in a text that is put together; YAML has no such character."""

PLAIN_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")

_READS_OTHERS = {
    "models.encoder.": "another encoder (encoder=random_features reads anything)",
    "models.dynamics.": "another dynamics (dynamics=mlp reads anything)",
}
"""What to choose where the environment does not show what a part reads."""

LONGEST_DECODED = 4000
"""Characters of a text that `oc.decode` reads."""
AS_SLOW_AS = 20
"""Characters that each of them counts for: the grammar is slow."""

MOST_HINTS = 20
"""References that lead nowhere for which the nearest names are looked for."""

_HYDRA = "hydra"
_INSTEAD = (
    "a run knows nothing of Hydra, so that it can be resumed and reproduced: write a key of the config itself, such as "
    "${seed}, or give the value as an override; a tracker gets its run folder as an argument"
)


class UnknownValueError(Exception):
    """A value that something is wrong with, which is reported already."""


@dataclass(frozen=True)
class Whole:
    """A mapping or list that an expression refers to."""

    address: str
    value: Any

    def __str__(self) -> str:
        raise ValueError("a text cannot take up keys and values or a list")


@dataclass
class Resolved:
    """A config with everything filled in that could be.

    Attributes:
        tree: The config as plain data; a value that waits for the environment stands as it was written.
        origins: The least trusted origin that contributed to each value, by its address.
        waiting: Addresses of values that wait for the environment.
        read: Addresses that something referred to.
        errors: What could not be filled in.
    """

    tree: dict[str, Any]
    origins: dict[str, Origin] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    errors: list[ErrorDetail] = field(default_factory=list)


class Resolver(Protocol):
    """What an expression reads from: see `interpolations`."""

    tree: Mapping[str, Any]
    result: Resolved

    def written_by(self, key: str) -> Origin | None: ...
    def report(self, key: str, message: str, hint: str) -> None: ...
    def count(self, key: str, values: int, characters: int) -> None: ...
    def find(self, address: str) -> tuple[str, Any]: ...


class Expression:
    """A text with `${...}` at `key`.

    Attributes:
        origin: The least trusted origin that contributed to it so far.
    """

    def __init__(self, resolver: Resolver, key: str) -> None:
        self.resolver = resolver
        self.key = key
        self.origin = resolver.written_by(key)

    def work_out(self, text: str) -> Any:
        """Return what it comes to: plain data with UNKNOWN for what waits, or the node that it refers to."""
        if (plain := PLAIN_REFERENCE.fullmatch(text)) is not None:
            return self._reference(plain[1])
        try:
            return GrammarVisitor(
                lambda name, memo: self._reference(raw_name(name)),
                lambda name, args, args_str: self._call(name, args),
                memo=None,
            ).visit(_parsed(text))
        except (OmegaConfBaseException, RecursionError, ValueError, ArithmeticError, LookupError, TypeError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            if UNKNOWN in words:
                return UNKNOWN
            self._fail(f"cannot be read: {words}", "write ${key} or ${resolver:argument}")

    def _fail(self, message: str, hint: str, key: str | None = None) -> NoReturn:
        self.resolver.report(self.key if key is None else key, message, hint)
        raise UnknownValueError

    def _reference(self, name: str) -> Any:
        """Return what `${name}` stands for."""
        result = self.resolver.result
        if UNKNOWN in name:
            result.read.add(UNKNOWN)  # anything may be meant
            return UNKNOWN
        address = _absolute_address(name, self.key)
        if address.split(".")[0] == _HYDRA:
            self._fail(f"${{{address}}} is not there in a run", _INSTEAD)
        result.read.add(address)
        if self._comes_later(address):
            return UNKNOWN
        try:
            at, value = self.resolver.find(address)
        except KeyError as error:
            self._lead_nowhere(address, str(error.args[0]))
        if value == "???":
            self._fail(f"${{{address}}} needs a value", f"set {address}")
        if isinstance(value, (dict, list)) and at not in result.waiting:
            return Whole(at, value)
        self.origin = least_of(self.origin, result.origins.get(at))
        self.resolver.count(self.key, 0, characters_of(value))
        return UNKNOWN if at in result.waiting else value

    def _comes_later(self, address: str) -> bool:
        return address.split(".")[0] == FILLED_IN_LATER and self.resolver.tree.get(FILLED_IN_LATER, "???") == "???"

    def _lead_nowhere(self, address: str, missing: str) -> NoReturn:
        holder = parent(missing)
        try:
            beside = select(self.resolver.tree, holder)
        except KeyError:
            beside = {}
        names = [str(each) for each in beside] if isinstance(beside, Mapping) else []
        if holder == f"{FILLED_IN_LATER}.observation":
            message = f"this environment shows no '{missing.rpartition('.')[2]}', only: {', '.join(names)}"
            others = [each for above, each in _READS_OTHERS.items() if self.key.startswith(above)]
            self._fail(message, f"choose another environment, or {others[0] if others else 'another part'}")
        if len(self.resolver.result.errors) >= MOST_HINTS:  # comparing all names with each takes time
            names = []
        hint = nearest(missing[len(holder) :].strip("."), names, listing=f"{holder} has" if holder else "there are")
        self._fail(f"${{{address}}} leads nowhere: there is no {missing}", hint)

    def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == _HYDRA:
            self._fail("${hydra:...} is not there in a run", _INSTEAD)
        known = (*RESOLVERS, *WITH_THE_CONFIG)
        if name not in known:
            self._fail(f"there is no resolver '{name}' for configs", nearest(name, known, listing="there are"))
        if name in READS_THE_MACHINE and self.origin is not None and self.origin.kind != "typed":
            self.origin = least(self.origin, replace(self.origin, kind="foreign"))
        given = [self._argument(each) for each in arguments]
        if holds_unknown(given):
            return UNKNOWN
        if name == "oc.select":
            return self._selected(*given)
        if name == "oc.decode":
            text = _plain_text(*given)
            self.resolver.count(self.key, 0, AS_SLOW_AS * len(text))
            return _decoded(text)
        if name == "derived_seed":
            at, seed = self.resolver.find("seed")
            waits = at in self.resolver.result.waiting
            return UNKNOWN if waits else derived_seed(seed, parent(self.key), *given)
        try:
            return RESOLVERS[name](*given)
        except UnknownSizeError as error:
            self._fail(str(error), f"choose {', '.join(SIZES)}", self._where_size_is_set(given[0]))
        except PermissionError as error:
            self._fail(str(error), f"it may read {', '.join(READABLE_ENVIRONMENT)}; others could hold a secret")

    def _where_size_is_set(self, size: object) -> str:
        """The key that sets a size of models: `sizes.encoder`, or `size` for all of them."""
        sizes = self.resolver.tree.get("sizes")
        own = [name for name, value in sizes.items() if value == size] if isinstance(sizes, Mapping) else []
        return join("sizes", str(own[0])) if own else "size"

    def _argument(self, value: Any) -> Any:
        """Return an argument of a resolver as plain data; everything in it contributes to the result."""
        if isinstance(value, Whole):
            result = self.resolver.result
            self.origin = least_of(self.origin, self.resolver.written_by(value.address))
            for address, leaf in leaves(value.value, value.address):
                self.resolver.count(self.key, 1, characters_of(leaf))
                self.origin = least_of(self.origin, result.origins.get(address))
                if address in result.waiting:
                    return UNKNOWN
            return value.value
        if isinstance(value, Mapping):
            return {name: self._argument(item) for name, item in value.items()}
        return [self._argument(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _selected(self, name: object, default: object = None) -> object:
        address = _absolute_address(str(name), self.key)
        self.resolver.result.read.add(address)
        try:
            is_there = self._comes_later(address) or self.resolver.find(address)[1] != "???"
        except KeyError:
            is_there = False
        return self._reference(address) if is_there else default


def holds_unknown(value: object) -> bool:
    """Whether anything in plain data waits for the environment."""
    return any(isinstance(leaf, str) and UNKNOWN in leaf for _, leaf in leaves(value))


def characters_of(value: object) -> int:
    """Return how many characters a leaf counts for."""
    if isinstance(value, str):
        return len(value)
    return value.bit_length() // 3 + 1 if isinstance(value, int) else 8


def _absolute_address(name: str, key: str) -> str:
    """Return the address that `${name}` at `key` means."""
    if not name.startswith("."):
        return name
    above = key
    while name.startswith("."):
        above, name = parent(above), name[1:]
    return f"{above}.{name}" if above and name else name or above


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    return parse(text)


def _plain_text(text: object) -> str:
    if not isinstance(text, str) or "$" in text or len(text) > LONGEST_DECODED:
        raise ValueError(f"oc.decode takes a plain text of at most {LONGEST_DECODED:,} characters")
    return text


def _decoded(text: str) -> object:
    def refuse(*_: object, **__: object) -> Any:
        raise ValueError("oc.decode takes a plain text")

    return GrammarVisitor(refuse, refuse, memo=None).visit(
        parse(text, parser_rule="singleElement", lexer_mode="VALUE_MODE")
    )
