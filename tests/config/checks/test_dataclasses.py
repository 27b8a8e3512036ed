"""Config nodes that are dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pytest

from pamiq_exp.config import ConfigError
from pamiq_exp.config.checks.dataclasses import read_dataclass
from tests.cases import error_of


@dataclass(frozen=True)
class Inner:
    keep: int = 2


@dataclass(frozen=True)
class Outer:
    mode: Literal["slow", "fast"] = "slow"
    steps: int | None = None
    scale: float = 1.0
    on: bool = True
    name: str = "x"
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError("outer.scale: must be positive")


def test_read_dataclass_keeps_defaults_of_missing_keys() -> None:
    node = {"mode": "fast", "steps": 3, "scale": 2, "inner": {"keep": 5}}
    assert read_dataclass(Outer, node, "outer") == Outer("fast", 3, 2, inner=Inner(5))


def test_read_dataclass_reports_invalid_keys_and_values() -> None:
    cases: list[tuple[Any, str]] = [
        ({"mod": "fast"}, "outer.mod: there is no such key\n    did you mean mode?"),
        ({"mode": "quick"}, "outer.mode: expected one of slow, fast, not 'quick'"),
        ({"steps": "many"}, "outer.steps: expected a whole number or null, not 'many'"),
        ({"steps": True}, "outer.steps: expected a whole number or null, not True"),
        ({"steps": 1.5}, "outer.steps: expected a whole number or null, not 1.5"),
        ({"scale": "1"}, "outer.scale: expected a number, not '1'"),
        ({"on": 1}, "outer.on: expected true or false, not 1"),
        ({"name": None}, "outer.name: expected text, not None"),
        ({"inner": {"kep": 1}}, "outer.inner.kep: there is no such key\n    did you mean keep?"),
        ({"inner": None}, "outer.inner: expected keys and values, not None"),
        ({"scale": -1.0}, "outer.scale: must be positive"),
        (None, "outer: expected keys and values, not None"),
    ]
    reported = [
        (expected, error_of(ConfigError, partial(read_dataclass, Outer, node, "outer"))) for node, expected in cases
    ]
    assert [each for each in reported if each[0] not in each[1]] == []


def test_read_dataclass_reports_all_errors_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        read_dataclass(Outer, {"a": 1, "steps": "x", "inner": {"b": 2}}, "outer")
    assert [detail.key for detail in error.value.errors] == ["outer.a", "outer.steps", "outer.inner.b"]
