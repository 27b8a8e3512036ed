"""What stands in `${...}`: worked out once, within a budget, with an account of who had a say in each value.

Each node is resolved once, where it stands. What a value will take is known from the sizes of its parts before it is
put together, so that a text that doubles itself thirty times costs nothing. A value is as trustworthy as the least
trusted of all that it was made from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeAlias

from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse
from omegaconf.grammar_visitor import GrammarVisitor

from pamiq_exp.config.checks.limits import LONGEST_WAY, MOST_BITS, MOST_CHARACTERS, MOST_VALUES
from pamiq_exp.config.checks.value_nodes import (
    NOTHING,
    UNKNOWN,
    ValueNode,
    absolute_address,
    characters_of,
    child_of,
    holds_waiting,
    least_below,
    least_of,
    node_below,
    plain_value,
    written_at,
)
from pamiq_exp.config.errors import UNTRUSTED, ConfigError, ErrorDetail, Origin, least, nearest
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
from pamiq_exp.config.tree_paths import join, parent

ENVIRONMENT = "${environment}"
"""What must stand in `interaction.environment`: the node that is built first, whose shapes all others read."""

FILLED_IN_LATER = "spaces"
"""What is not there yet: it comes from the environment."""

_READS_OTHERS = {
    "models.encoder.": "another encoder (encoder=random_features reads anything)",
    "models.dynamics.": "another dynamics (dynamics=mlp reads anything)",
}
"""What to choose where the environment does not show what a part reads."""

MOST_HINTS = 20
"""References that lead nowhere for which the nearest names are looked for."""

_HYDRA = "hydra"
_INSTEAD = (
    "a run knows nothing of Hydra, so that it can be resumed and reproduced: write a key of the config itself, such as "
    "${seed}, or give the value as an override; a tracker gets its run folder as an argument"
)
_PLAIN_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")

WrittenBy: TypeAlias = Callable[[str], Origin | None]


@dataclass
class Resolved:
    """A config with everything filled in that could be.

    Attributes:
        tree: The config as plain data; a value that waits for the environment stands as it was written.
        origins: The least trusted that had a say in each value, by its address.
        waiting: Addresses of values that wait for the environment.
        read: Addresses that something referred to.
        errors: What could not be filled in.
    """

    tree: dict[str, Any]
    origins: dict[str, Origin] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    errors: list[ErrorDetail] = field(default_factory=list)


def resolve(tree: Mapping[str, Any], written_by: WrittenBy | None = None) -> Resolved:
    """Fill in what stands in `${...}`.

    Args:
        tree: A config as plain data, without Hydra's node. What refers to `spaces` waits while that is `???`.
        written_by: Who wrote the value at an address; None: not checked.

    Raises:
        ConfigError: The config would take more than the budget.
    """
    return _Resolver(tree, written_by).resolve()


def value_at(tree: Mapping[str, Any], key: str) -> object:
    """Return the value at an address, filled in. Raises ConfigError if it cannot be."""
    resolver = _Resolver(tree, None)
    node = resolver.node(key, written_at(tree, key))
    if resolver.result.errors:
        raise ConfigError(resolver.result.errors)
    return plain_value(node)


class _Unknown(Exception):  # noqa: N818 - reported already
    """A value that something is wrong with."""


class _Resolver:
    def __init__(self, tree: Mapping[str, Any], written_by: WrittenBy | None) -> None:
        self.tree = tree
        self.written_by = written_by
        self.result = Resolved({})
        self._reported: set[ErrorDetail] = set()
        self._known: dict[str, ValueNode] = {}
        self._open: list[str] = []
        self._steps = 0
        self._made = 0
        self._origin: Origin | None = None
        self._taken = 0

    def resolve(self) -> Resolved:
        nodes = {name: self.node(name, raw) for name, raw in self.tree.items()}
        self._whole("", nodes)  # within the budget?
        for name, node in nodes.items():
            self.result.tree[name] = self._write_out(node, name, None)
        return self.result

    def node(self, key: str, raw: Any) -> ValueNode:
        """Return the node at `key`, where `raw` is written."""
        if key in self._known:
            return self._known[key]
        if key in self._open:
            circle = " -> ".join([*self._open[self._open.index(key) :], key])
            self._report(ErrorDetail(key, f"is a circle: {circle}", "give one of them a value of its own"))
            raise _Unknown
        self._open.append(key)
        try:
            if isinstance(raw, Mapping):
                below = {name: self._below(join(key, str(name)), item) for name, item in raw.items()}
                node = self._whole(key, below)
            elif isinstance(raw, list):
                node = self._whole(key, [self._below(join(key, index), item) for index, item in enumerate(raw)])
            elif isinstance(raw, str) and "${" in raw:
                node = self._evaluated(key, raw)
            else:
                node = ValueNode(raw, self._written_by(key), characters=characters_of(raw))
        except RecursionError:
            self._report(ErrorDetail(key, "nests too deep", "shorten the way"))
            node = ValueNode(raw, self._written_by(key), waits=True)
        finally:
            self._open.pop()
        self._known[key] = node
        return node

    def _below(self, key: str, raw: Any) -> ValueNode:
        try:
            return self.node(key, raw)
        except _Unknown:
            return ValueNode(raw, self._written_by(key), waits=True)

    def _whole(self, key: str, below: Any) -> ValueNode:
        nodes = below.values() if isinstance(below, dict) else below
        node = ValueNode(below, self._written_by(key) if key else None)
        node.values += sum(each.values for each in nodes)
        node.characters = sum(each.characters for each in nodes)
        if isinstance(below, dict):
            node.characters += sum(len(str(name)) for name in below)
        if node.values > MOST_VALUES or node.characters > MOST_CHARACTERS:
            raise self._too_much(key)
        return node

    def _too_much(self, key: str) -> ConfigError:
        most = f"{MOST_VALUES:,} values and {MOST_CHARACTERS:,} characters"
        message = f"comes to more than {most} with all that it refers to"
        return ConfigError(ErrorDetail(key, message, "refer to less, or to the parts that are needed"))

    def _written_by(self, key: str) -> Origin | None:
        return None if self.written_by is None else self.written_by(key) or UNTRUSTED

    def _report(self, detail: ErrorDetail) -> None:
        if detail not in self._reported:
            self._reported.add(detail)
            self.result.errors.append(detail)

    def _evaluated(self, key: str, text: str) -> ValueNode:
        """Work out a text with `${...}`."""
        before = self._origin, self._taken, self._steps
        self._origin, self._taken, self._steps = self._written_by(key), len(text), self._steps + 1
        try:
            if self._steps > LONGEST_WAY:
                first = next(each for each in self._open if isinstance(written_at(self.tree, each), str))
                message = f"leads through more than {LONGEST_WAY} interpolations"
                self._report(ErrorDetail(first, message, "shorten the way"))
                raise _Unknown
            value = self._value_of(key, text)
            if isinstance(value, ValueNode):
                if value.waits:
                    value = UNKNOWN
                elif value.is_container:
                    # The environment itself, which is judged where it stands, may be named by everybody.
                    floor = value.floor if text == ENVIRONMENT else least_of(self._origin, value.floor)
                    return ValueNode(value.value, self._origin, floor, False, value.values, value.characters)
                else:
                    value = value.value
            if holds_waiting(value):
                return ValueNode(text, self._origin, waits=True, characters=len(text))
            return self._made_of(key, value)
        except _Unknown:
            return ValueNode(text, self._origin, waits=True, characters=len(text))
        finally:
            self._origin, self._taken, self._steps = before

    def _made_of(self, key: str, value: Any) -> ValueNode:
        """The node of a value that was worked out."""
        if isinstance(value, ValueNode):
            return value
        if isinstance(value, Mapping):
            return self._whole(key, {name: self._made_of(key, item) for name, item in value.items()})
        if isinstance(value, (list, tuple)):
            return self._whole(key, [self._made_of(key, item) for item in value])
        if isinstance(value, str) and "${" in value:
            self._report(ErrorDetail(key, "gives a text with ${...} in it", "write it out where it is needed"))
            raise _Unknown
        self._made += characters_of(value)
        if self._made > MOST_CHARACTERS:
            raise self._too_much(key)
        return ValueNode(value, self._origin, characters=characters_of(value))

    def _value_of(self, key: str, text: str) -> Any:
        if (plain := _PLAIN_REFERENCE.fullmatch(text)) is not None:
            return self._reference(key, plain[1])
        try:
            tree = _parsed(text)
            visitor = GrammarVisitor(
                lambda name, memo: self._part(self._reference(key, raw_name(name))),
                lambda name, args, args_str: self._part(self._call(key, name, args)),
                memo=None,
            )
            return visitor.visit(tree)
        except (ConfigError, _Unknown):
            raise
        except (OmegaConfBaseException, RecursionError, ValueError, ArithmeticError, LookupError, TypeError) as error:
            words = str(error).splitlines()[0] if str(error) else type(error).__name__
            if UNKNOWN in words:
                return UNKNOWN
            self._report(ErrorDetail(key, f"cannot be read: {words}", "write ${key} or ${resolver:argument}"))
            raise _Unknown from None

    def _part(self, value: Any) -> Any:
        """Count what a text is about to take up."""
        if isinstance(value, ValueNode):
            self._taken += value.characters
            if self._made + self._taken > MOST_CHARACTERS:
                raise self._too_much(self._open[-1])
            value = UNKNOWN if value.waits else value if value.is_container else value.value
        return value

    def _reference(self, key: str, name: str) -> ValueNode:
        """Return what `${name}`, written at `key`, stands for."""
        if UNKNOWN in name:
            self.result.read.add(UNKNOWN)  # anything may be meant
            return ValueNode(None, self._origin, waits=True)
        address = absolute_address(name, key)
        if address.split(".")[0] == _HYDRA:
            self._report(ErrorDetail(key, f"${{{address}}} is not there in a run", _INSTEAD))
            raise _Unknown
        self.result.read.add(address)
        try:
            node = self._select(address)
        except KeyError as error:
            self._report(self._leads_nowhere(key, address, str(error.args[0])))
            raise _Unknown from None
        if node.value == "???" and not node.waits:
            self._report(ErrorDetail(key, f"${{{address}}} needs a value", f"set {address}"))
            raise _Unknown
        if not node.is_container:
            self._origin = least_of(self._origin, node.origin)
        return node

    def _select(self, address: str) -> ValueNode:
        """Return the node at an address, through references. Raises KeyError with the first key that is not there."""
        if address.split(".")[0] == FILLED_IN_LATER and self.tree.get(FILLED_IN_LATER, "???") == "???":
            return ValueNode(None, self._origin, waits=True)
        raw: Any = self.tree
        at = ""
        names = re.findall(r"[^.\[\]]+", address)
        for position, name in enumerate(names):
            child = child_of(raw, name)
            at = join(at, int(name)) if isinstance(raw, list) else join(at, name)
            if child is NOTHING:
                raise KeyError(at)
            if isinstance(child, str) and "${" in child:
                return node_below(self.node(at, child), names[position + 1 :], at)
            raw = child
        return self.node(at, raw)

    def _leads_nowhere(self, key: str, address: str, missing: str) -> ErrorDetail:
        holder = parent(missing)
        beside = written_at(self.tree, holder) if holder else self.tree
        names = [str(each) for each in beside] if isinstance(beside, Mapping) else []
        if holder == f"{FILLED_IN_LATER}.observation":
            message = f"this environment shows no '{missing.rpartition('.')[2]}', only: {', '.join(names)}"
            instead = next((each for above, each in _READS_OTHERS.items() if key.startswith(above)), "another part")
            return ErrorDetail(key, message, f"choose another environment, or {instead}")
        if len(self.result.errors) >= MOST_HINTS:  # comparing all names with each takes time
            names = []
        hint = nearest(missing[len(holder) :].strip("."), names, listing=f"{holder} has" if holder else "there are")
        return ErrorDetail(key, f"${{{address}}} leads nowhere: there is no {missing}", hint)

    def _call(self, key: str, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == _HYDRA:
            self._report(ErrorDetail(key, "${hydra:...} is not there in a run", _INSTEAD))
            raise _Unknown
        known = (*RESOLVERS, *WITH_THE_CONFIG)
        if name not in known:
            message = f"there is no resolver '{name}' for configs"
            self._report(ErrorDetail(key, message, nearest(name, known, listing="there are")))
            raise _Unknown
        if name in READS_THE_MACHINE and self._origin is not None and self._origin.kind != "typed":
            self._origin = least(self._origin, replace(self._origin, kind="foreign"))
        given = [self._argument(each) for each in arguments]
        if holds_waiting(given):
            return UNKNOWN
        if name == "oc.select":
            return self._selected(key, *given)
        if name == "oc.decode":
            return _decoded(*given)
        if name == "derived_seed":
            seed = self._part(self._select("seed"))
            return UNKNOWN if holds_waiting(seed) else derived_seed(seed, parent(key), *given)
        try:
            return RESOLVERS[name](*given)
        except UnknownSizeError as error:
            self._report(ErrorDetail(self._where_size_is_set(given[0]), str(error), f"choose {', '.join(SIZES)}"))
            raise _Unknown from None
        except PermissionError as error:
            hint = f"it may read {', '.join(READABLE_ENVIRONMENT)}; others could hold a secret"
            self._report(ErrorDetail(key, str(error), hint))
            raise _Unknown from None

    def _where_size_is_set(self, size: object) -> str:
        """The key that sets a size of models: `sizes.encoder`, or `size` for all of them."""
        sizes = self.tree.get("sizes")
        own = [name for name, value in sizes.items() if value == size] if isinstance(sizes, Mapping) else []
        return join("sizes", str(own[0])) if own else "size"

    def _argument(self, value: Any) -> Any:
        """Return an argument of a resolver as plain data; all that lies in it has a say in the result."""
        if isinstance(value, ValueNode):
            self._origin = least_of(self._origin, least_below(value))
            return plain_value(value)
        if isinstance(value, Mapping):
            return {name: self._argument(item) for name, item in value.items()}
        return [self._argument(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _selected(self, key: str, name: object, default: object = None) -> object:
        address = absolute_address(str(name), key)
        self.result.read.add(address)
        try:
            node = self._select(address)
        except KeyError:
            return default
        if node.value == "???":
            return default
        return self._reference(key, address)

    def _write_out(self, node: ValueNode, key: str, floor: Origin | None) -> Any:
        """Return a node as plain data, and note who had a say in its leaves."""
        floor = least_of(floor, node.floor)
        if node.is_container and isinstance(node.value, dict) and node.value:
            return {name: self._write_out(item, join(key, str(name)), floor) for name, item in node.value.items()}
        if node.is_container and node.value:
            return [self._write_out(item, join(key, index), floor) for index, item in enumerate(node.value)]
        if node.waits:
            self.result.waiting.add(key)
        if type(node.value) is int and node.value.bit_length() > MOST_BITS:
            self._report(ErrorDetail(key, f"has more than {MOST_BITS} binary digits", "write a smaller number"))
        if (origin := least_of(floor, node.origin)) is not None:
            self.result.origins[key] = origin
        return plain_value(node) if node.is_container else node.value


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    return parse(text)


def _decoded(text: object) -> object:
    if not isinstance(text, str) or "$" in text:
        raise ValueError("oc.decode takes a plain text")

    def refuse(*_: object, **__: object) -> Any:
        raise ValueError("oc.decode takes a plain text")

    return GrammarVisitor(refuse, refuse, memo=None).visit(
        parse(text, parser_rule="singleElement", lexer_mode="VALUE_MODE")
    )


def keys_in(text: object) -> Iterator[str]:
    """Yield the plain references in a text, such as Hydra's own settings hold."""
    if isinstance(text, str):
        yield from (each[1] for each in _PLAIN_REFERENCE.finditer(text))
