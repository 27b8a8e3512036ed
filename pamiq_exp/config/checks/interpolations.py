"""What stands in `${...}`: worked out once, within a budget, with the origin of each value.

Each value is worked out once, where it stands, and all that is read and put together on the way is counted, so that
a text that doubles itself thirty times ends early. A value is as trustworthy as the least trusted of all that it was
made from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pamiq_exp.config.checks.expressions import (
    Expression,
    Resolved,
    UnknownValueError,
    Whole,
    characters_of,
    holds_unknown,
)
from pamiq_exp.config.checks.limits import LONGEST_WAY, MOST_BITS, MOST_CHARACTERS, MOST_VALUES
from pamiq_exp.config.errors import UNTRUSTED, ConfigError, ErrorDetail, Origin, least_of
from pamiq_exp.config.tree_paths import NOTHING, child_of, join, names_in, select

ENVIRONMENT = "${environment}"
"""What must stand in `interaction.environment`: the node that is built first, whose shapes all others read."""

WrittenBy: TypeAlias = Callable[[str], Origin | None]


def resolve(tree: Mapping[str, Any], written_by: WrittenBy | None = None) -> Resolved:
    """Fill in what stands in `${...}`.

    Args:
        tree: A config as plain data, without Hydra's node. What refers to `spaces` waits while that is `???`.
        written_by: Who wrote the value at an address; None: not checked.

    Raises:
        ConfigError: The config would take more than the budget.
    """
    resolver = Resolver(tree, written_by)
    resolver.result.tree = resolver.value("", tree)
    resolver.result.errors = list(dict.fromkeys(resolver.result.errors))
    return resolver.result


def value_at(tree: Mapping[str, Any], key: str) -> object:
    """Return the value at an address, filled in. Raises ConfigError if it cannot be, KeyError if there is none."""
    resolver = Resolver(tree, None)
    value = resolver.value(key, select(tree, key))
    if resolver.result.errors:
        raise ConfigError(resolver.result.errors)
    return value


class Resolver:
    """Fills in one tree."""

    def __init__(self, tree: Mapping[str, Any], written_by: WrittenBy | None) -> None:
        self.tree = tree
        self.result = Resolved({})
        self.way = 0
        self._written_by = written_by
        self._known: dict[str, Any] = {}
        self._open: dict[str, Any] = {}
        self._values = self._characters = 0

    def written_by(self, key: str) -> Origin | None:
        """Return who wrote what stands at `key`; None where that is not checked."""
        return None if self._written_by is None else self._written_by(key) or UNTRUSTED

    def report(self, key: str, message: str, hint: str) -> None:
        """Note what is wrong."""
        self.result.errors.append(ErrorDetail(key, message, hint))

    def count(self, key: str, values: int, characters: int) -> None:
        """Count what is about to be read or put together at `key`."""
        self._values += values
        self._characters += characters
        if self._values > MOST_VALUES or self._characters > MOST_CHARACTERS:
            most = f"{MOST_VALUES:,} values and {MOST_CHARACTERS:,} characters"
            message = f"comes to more than {most} with all that it refers to"
            raise ConfigError(ErrorDetail(key, message, "refer to less, or to the parts that are needed"))

    def value(self, key: str, raw: Any) -> Any:
        """Return what is written at `key`, filled in."""
        if key in self._known:
            return self._known[key]
        if key in self._open:
            way = list(self._open)
            circle = " -> ".join([*way[way.index(key) :], key])
            self.report(key, f"is a circle: {circle}", "give one of them a value of its own")
            return self._leaf(key, raw, None, waits=True)
        self._open[key] = raw
        try:
            if isinstance(raw, (Mapping, list)) and raw:
                value = self._spread(key, raw, self.value)
            elif isinstance(raw, str) and "${" in raw:
                value = self._evaluated(key, raw)
            else:
                value = self._leaf(key, raw, self.written_by(key))
        except RecursionError:
            self.report(key, "nests too deep", "shorten the way")
            value = self._leaf(key, raw, self.written_by(key), waits=True)
        finally:
            del self._open[key]
        self._known[key] = value
        return value

    def find(self, address: str) -> tuple[str, Any]:
        """Return where an address leads, through references, and the value there.

        Raises KeyError with the first key that is not there.
        """
        node: Any = self.tree
        at, is_filled_in = "", False
        for name in names_in(address):
            if not is_filled_in and isinstance(node, str) and "${" in node:
                node, is_filled_in = self.value(at, node), True
            if at in self.result.waiting:
                return at, node
            at = join(at, int(name) if isinstance(node, list) and name.isdecimal() else name)
            node = child_of(node, name)
            if node is NOTHING:
                raise KeyError(at)
        return at, node if is_filled_in else self.value(at, node)

    def _spread(self, key: str, node: Any, each: Callable[[str, Any], Any]) -> Any:
        """Return a mapping or list with `each(address, item)` in the place of its items."""
        if isinstance(node, Mapping):
            self.count(key, 1, sum(len(str(name)) for name in node))
            return {name: each(join(key, str(name)), item) for name, item in node.items()}
        self.count(key, 1, 0)
        return [each(join(key, index), item) for index, item in enumerate(node)]

    def _leaf(self, key: str, value: Any, origin: Origin | None, *, waits: bool = False) -> Any:
        self.count(key, 1, characters_of(value))
        if isinstance(value, (dict, list)):
            value = type(value)()  # empty: each place has its own
        if waits:
            self.result.waiting.add(key)
        if type(value) is int and value.bit_length() > MOST_BITS:
            self.report(key, f"has more than {MOST_BITS} binary digits", "write a smaller number")
        if origin is not None:
            self.result.origins[key] = origin
        return value

    def _evaluated(self, key: str, text: str) -> Any:
        """Work out a text with `${...}`."""
        expression = Expression(self, key)
        self.way += 1
        try:
            if self.way > LONGEST_WAY:
                first = next(each for each, raw in self._open.items() if isinstance(raw, str))
                self.report(first, f"leads through more than {LONGEST_WAY} interpolations", "shorten the way")
                raise UnknownValueError
            value = expression.work_out(text)
            if not holds_unknown(value):
                # The environment itself, which is judged where it stands, may be named by everybody.
                floor = None if text == ENVIRONMENT else expression.origin
                return self._put(key, value, floor)
        except UnknownValueError:
            pass
        finally:
            self.way -= 1
        return self._leaf(key, text, expression.origin, waits=True)

    def _put(self, key: str, value: Any, floor: Origin | None) -> Any:
        """Put what an expression has given to its place; nothing in it is trusted more than `floor`."""
        if isinstance(value, Whole):
            source, value = value.address, value.value

            def copied(at: str, item: Any) -> Any:
                if isinstance(item, (Mapping, list)) and item:
                    return self._spread(at, item, copied)
                there = source + at[len(key) :]
                origin = least_of(floor, self.result.origins.get(there))
                return self._leaf(at, item, origin, waits=there in self.result.waiting)

            return copied(key, value)
        if isinstance(value, (Mapping, list, tuple)) and value:
            return self._spread(key, value, lambda at, item: self._put(at, item, floor))
        if isinstance(value, str) and "${" in value:
            self.report(key, "gives a text with ${...} in it", "write it out where it is needed")
            raise UnknownValueError
        return self._leaf(key, value, floor)
