"""Combinations of choices in which each pair of options occurs: a covering array of strength two.

Source of the method: Cohen, Dalal, Fredman and Patton 1997, The AETG system (greedy, one row after another).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice

Choice = tuple[str, str]
"""A group and one of its options."""

Row = dict[str, str]
"""One option of each group that has a place in the row."""

CANDIDATES = 12
"""Rows that are compared for each one that is taken."""

MOST_TRIES = 500
"""A greedy choice may leave no option for the last groups."""


@dataclass(frozen=True)
class Refusal:
    """Two choices that do not go together, and what a user reads who makes them.

    Attributes:
        one, other: The choices.
        words: A part of the message, which names what to choose instead.
    """

    one: Choice
    other: Choice
    words: str


@dataclass(frozen=True)
class Model:
    """What can be combined.

    Attributes:
        options: Of each group.
        places: Groups that exist only beside certain options of another group: `{"world": ("environment", [...])}`.
        refusals: Pairs that are refused.
        apart: Pairs of groups whose options need not all meet.
    """

    options: Mapping[str, Sequence[str]]
    places: Mapping[str, Mapping[str, Sequence[str]]]
    refusals: Sequence[Refusal] = ()
    apart: Sequence[tuple[str, str]] = ()

    @cached_property
    def refused(self) -> set[frozenset[Choice]]:
        """The pairs that are refused."""
        return {frozenset((each.one, each.other)) for each in self.refusals}

    def rows(self, seed: int = 0) -> list[Row]:
        """Return rows in which all pairs occur that can occur; always the same ones."""
        generator = random.Random(seed)
        left = set(self.pairs())
        partners: dict[Choice, set[Choice]] = {choice: set() for choice in self._against}
        for one, other in left:
            partners[one].add(other)
            partners[other].add(one)
        rows: list[Row] = []
        while left:
            wanted = min(left, key=sorted)
            tries = (self._row(wanted, partners, generator) for _ in range(MOST_TRIES))
            found = list(islice((row for row in tries if row is not None), CANDIDATES))
            if not found:
                raise ValueError(f"nothing goes with {sorted(wanted)}: refuse that pair, too")
            best = max(found, key=lambda row: len(left & set(_pairs(row))))
            rows.append(best)
            left -= set(_pairs(best))
            for choice in best.items():
                partners[choice] -= best.items()
        return rows

    def pairs(self) -> Iterator[frozenset[Choice]]:
        """Yield all pairs of options of two groups that have a place beside each other and are not refused."""
        refused = self.refused
        for one, other in combinations(self.options, 2):
            if (one, other) in self.apart or (other, one) in self.apart:
                continue
            for first in self.options[one]:
                for second in self.options[other]:
                    pair = frozenset(((one, first), (other, second)))
                    if pair not in refused and self._can_stand(dict(pair)) and pair not in self.crowded:
                        yield pair

    @cached_property
    def crowded(self) -> set[frozenset[Choice]]:
        """The pairs that leave no option for a third group."""
        choices = [(group, option) for group, options in self.options.items() for option in options]
        pairs = (frozenset(pair) for pair in combinations(choices, 2) if pair[0][0] != pair[1][0])
        return {pair for pair in pairs if self._is_crowded(pair)}

    @cached_property
    def _against(self) -> dict[Choice, set[Choice]]:
        """The choices that cannot stand beside a choice."""
        against: dict[Choice, set[Choice]] = {
            (group, option): set() for group, options in self.options.items() for option in options
        }
        for pair in self.refused | self.crowded:
            one, other = pair
            against.setdefault(one, set()).add(other)
            against.setdefault(other, set()).add(one)
        return against

    def _is_crowded(self, pair: frozenset[Choice]) -> bool:
        """Whether a third group, which has a place wherever the two have theirs, has no option that goes with both."""
        given = dict(needed for group, _ in pair for needed in self.places.get(group, {}).items())
        return any(
            all(self._refuses(group, option, pair) for option in given.get(group, options))
            for group, options in self.options.items()
            if group not in dict(pair) and (group in given or self.places.get(group, {}).items() <= given.items())
        )

    def _refuses(self, group: str, option: str, pair: frozenset[Choice]) -> bool:
        return any(frozenset(((group, option), each)) in self.refused for each in pair)

    def _row(
        self, wanted: frozenset[Choice], partners: Mapping[Choice, set[Choice]], generator: random.Random
    ) -> Row | None:
        """Return a row with a wanted pair and as many others as a greedy choice finds; None if none fits.

        `partners` has the choices that each choice has not met yet.
        """
        row = dict(sorted(wanted))
        groups = [group for group in self.options if group not in row]
        generator.shuffle(groups)
        groups.sort(key=lambda group: -self._depended(group))  # what others need comes first
        for group in groups:
            fitting = [option for option in self.options[group] if self._fits(row, group, option)]
            if not fitting:
                if self._has_place(group, row):
                    return None
                continue
            gains = {option: len(partners[group, option] & row.items()) for option in fitting}
            most = max(gains.values())
            row[group] = generator.choice([option for option, gain in gains.items() if gain == most])
        complete = all(self._has_place(group, row) for group in row)
        return {group: row[group] for group in self.options if group in row} if complete else None

    def _depended(self, group: str) -> int:
        return sum(group in needed for needed in self.places.values())

    def _has_place(self, group: str, row: Row) -> bool:
        return all(row.get(other) in options for other, options in self.places.get(group, {}).items())

    def _fits(self, row: Row, group: str, option: str) -> bool:
        """Whether an option can join a row that can stand."""
        return row.items().isdisjoint(self._against[group, option]) and (
            group not in self._matters or self._can_stand({**row, group: option})
        )

    def _can_stand(self, row: Row) -> bool:
        """Whether each group of a row has its place, or may still get it by groups that are to be chosen."""
        # Of most groups only the presence matters, so few different rows are looked at.
        matters = self._matters
        key = frozenset((group, option if matters[group] else "") for group, option in row.items() if group in matters)
        if (known := self._standing.get(key)) is None:
            known = self._standing[key] = self._finds_places(row)
        return known

    @cached_property
    def _matters(self) -> dict[str, bool]:
        """The groups that have a place or are one, each with whether its option matters."""
        needed = {other for places in self.places.values() for other in places}
        return {group: group in needed for group in self.options if group in needed or group in self.places}

    @cached_property
    def _standing(self) -> dict[frozenset[Choice], bool]:
        """What `_can_stand` has found."""
        return {}

    def _finds_places(self, row: Row) -> bool:
        needed: dict[str, set[str]] = {group: {option} for group, option in row.items()}
        queue = list(row)
        while queue:
            for other, options in self.places.get(queue.pop(), {}).items():
                if other not in needed:
                    needed[other] = set(options)
                    queue.append(other)
                elif not needed[other] & set(options):
                    return False
                else:
                    needed[other] &= set(options)
        return True


def covering_slice(rows: Sequence[Row]) -> list[Row]:
    """Return some of the rows in which each option occurs at least once."""
    left = {choice for row in rows for choice in row.items()}
    chosen: list[Row] = []
    while left:
        best = max(rows, key=lambda row: len(left & set(row.items())))
        chosen.append(best)
        left -= set(best.items())
    return chosen


def _pairs(row: Row) -> Iterator[frozenset[Choice]]:
    return (frozenset(pair) for pair in combinations(row.items(), 2))
