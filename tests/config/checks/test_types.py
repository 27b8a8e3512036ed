"""Types of the arguments of a class."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Generic, TypeVar

from pamiq_exp.config.checks.types import hints_of, value_errors

if TYPE_CHECKING:
    from fractions import Fraction

    import unseen

PartT = TypeVar("PartT")


class Holder(Generic[PartT]):
    def __init__(self, part: PartT, name: str = "") -> None:
        self.part, self.name = part, name


class Counter(Holder[int]):
    pass


class OwnCounter(Counter):
    pass


def test_hints_of_replaces_type_variables_of_a_generic_base() -> None:
    for target in (Counter, OwnCounter):
        hints = hints_of(target)
        assert hints["part"] is int
        assert hints["name"] is str
        assert value_errors(hints["part"], "three", "part")


def test_type_variable_without_a_value_fits_anything() -> None:
    assert not value_errors(hints_of(Holder)["part"], "three", "part")


def typed_by_what_others_import(numbers: Fraction | None, name: str) -> None:
    """Takes an argument of a type that is there, and that this module imports for type checkers alone."""


def test_types_imported_only_for_type_checking_are_found_once_imported() -> None:
    assert "fractions" in sys.modules
    assert value_errors(hints_of(typed_by_what_others_import)["numbers"], "a", "numbers")


def typed_for_checkers_alone(maker: unseen.Maker[unseen.Part] | None, name: str, sizes: list[int]) -> None:
    """Takes an argument of a type that no run imports."""


def test_types_that_no_run_imports_fit_anything_and_others_are_checked() -> None:
    hints = hints_of(typed_for_checkers_alone)
    assert not value_errors(hints["maker"], [1], "maker")
    assert value_errors(hints["name"], ["a"], "name")
    assert value_errors(hints["sizes"], ["a"], "sizes")
