"""What the arguments of a class are known to be."""

from __future__ import annotations

from typing import Generic, TypeVar

from pamiq_exp.config.checks.types import hints_of, value_errors

PartT = TypeVar("PartT")


class Holder(Generic[PartT]):
    def __init__(self, part: PartT, name: str = "") -> None:
        self.part, self.name = part, name


class Counter(Holder[int]):
    pass


class OwnCounter(Counter):
    pass


def test_a_type_variable_stands_for_what_a_class_gives_its_generic_base() -> None:
    for target in (Counter, OwnCounter):
        hints = hints_of(target)
        assert hints["part"] is int
        assert hints["name"] is str
        assert value_errors(hints["part"], "three", "part")


def test_type_variable_without_a_value_fits_anything() -> None:
    assert not value_errors(hints_of(Holder)["part"], "three", "part")
