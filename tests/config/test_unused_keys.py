"""Keys that are set in mappings of a config, and that the part they are given to never reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.config.unused_keys import UnusedKeys


def unread(tree: dict[str, Any], key: str, mapping: dict[str, Any], use: Callable[[dict[str, Any]], object]) -> str:
    """Return the errors of a mapping that was used once and then dropped."""
    watch = UnusedKeys(tree)
    use(watch.watched(mapping, key))
    return "\n".join(str(each) for each in watch.errors())


@given(st.sets(st.sampled_from("abcdef"), min_size=1), st.sets(st.sampled_from("abcdef")), st.booleans())
def test_unused_keys_reports_exactly_the_keys_not_read(there: set[str], wanted: set[str], get: bool) -> None:
    mapping = dict.fromkeys(there, 1)

    def use(given: dict[str, Any]) -> None:
        for name in wanted:
            _ = given.get(name) if get else name in given and given[name]

    errors = unread({"part": {"options": mapping}}, "part.options", mapping, use)
    assert [line.split(":")[0] for line in errors.splitlines() if line.startswith("part")] == [
        f"part.options.{name}" for name in sorted(there - wanted)
    ]


def taken(**options: object) -> dict[str, object]:
    return options


def test_unused_keys_counts_iteration_as_reading_all_keys() -> None:
    uses: dict[str, Callable[[dict[str, Any]], object]] = {
        "dict": dict,
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "dumps": json.dumps,
        "list": list,
        "sorted": sorted,
        "unpacked": lambda m: {**m},
        "keywords": lambda m: taken(**m),
        "left operand": lambda m: m | {},
        "right operand": lambda m: {} | m,
        "items": lambda m: dict(m.items()),
        "values": lambda m: list(m.values()),
        "update": lambda m: {}.update(m),
        "equal": lambda m: m == {},
        "copy method": lambda m: m.copy(),
        "reversed": lambda m: [*reversed(m)],
    }
    mapping = {"a": 1, "b": {"c": 2}}
    assert {name: unread({"part": mapping}, "part", mapping, use) for name, use in uses.items()} == dict.fromkeys(
        uses, ""
    )


def test_unused_keys_copies_are_plain_dicts() -> None:
    watched = UnusedKeys({"part": {"a": 1}}).watched({"a": 1}, "part")
    assert type(copy.copy(watched)) is type(copy.deepcopy(watched)) is dict


def test_unused_keys_are_not_reported_while_a_part_keeps_the_mapping() -> None:
    watch = UnusedKeys({"part": {"a": 1, "b": 2}})
    kept = watch.watched({"a": 1, "b": 2}, "part")
    assert kept["a"] == 1
    assert list(watch.errors()) == []
    del kept
    assert [each.key for each in watch.errors()] == ["part.b"]


def test_unused_keys_ignores_mappings_from_interpolations() -> None:
    assert unread({"part": "${spaces.action}", "spaces": "???"}, "part", {"kind": 1}, lambda m: None) == ""


def test_unused_keys_of_a_shared_mapping_are_those_that_no_part_reads() -> None:
    watch = UnusedKeys({"shared": {"x": {"a": 1, "b": 2, "c": 3}}, "one": {"o": "${shared.x}"}, "two": "${shared.x}"})
    assert watch.watched({"a": 1, "b": 2, "c": 3}, "one.o")["a"] == 1
    assert watch.watched({"a": 1, "b": 2, "c": 3}, "two")["b"] == 2
    assert [str(each).splitlines()[0] for each in watch.errors()] == ["shared.x.c: nothing reads it"]


def test_unused_keys_skips_parts_that_were_left_out() -> None:
    watch = UnusedKeys({"metrics": {"a": {"options": {"x": 1}}}})
    watch.watched({"x": 1}, "metrics.a.options")
    watch.leave_out("metrics.a")
    assert list(watch.errors()) == []
