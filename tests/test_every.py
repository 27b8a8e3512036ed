"""`Every`: the next multiple of an interval."""

from __future__ import annotations

from pamiq_exp.every import Every


def test_every_is_due_once_for_each_multiple_that_is_reached_or_passed() -> None:
    every = Every(10)
    found = []
    for count in range(0, 60, 4):
        if every.due(count):
            found.append(count)
            every.done(count)
    assert found == [12, 20, 32, 40, 52]


def test_every_may_be_due_from_another_count_at_first() -> None:
    every = Every(10, first=0)
    assert every.due(0)
    every.done(0)
    assert next(count for count in range(30) if every.due(count)) == 10


def test_every_without_an_interval_is_never_due() -> None:
    every = Every(None, first=0)
    every.done(7)
    assert not every.due(10**12)
