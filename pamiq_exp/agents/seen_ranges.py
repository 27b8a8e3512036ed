"""Warnings about observations that use a small part of their declared bounds."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from pamiq_exp.interaction import Array
from pamiq_exp.spaces import ArraySpec, are_bounds

logger = logging.getLogger(__name__)

_TURNS = 200
"""Turns that are observed."""

_NARROW_BYTES, _NARROW = 0.15, 0.02
"""Fractions of the declared range below which a warning is logged, for bytes and for other numbers."""


class SeenRanges:
    """Tracks the range of each field over the first turns of a run, and warns once of each narrow one."""

    def __init__(self) -> None:
        self._turns = 0
        self._seen: dict[str, tuple[float, float]] = {}

    def update(self, transition: Mapping[str, Array], fields: Mapping[str, ArraySpec]) -> None:
        """Add one transition; `fields` describes its fields."""
        if self._turns == _TURNS:
            return
        self._turns += 1
        for name, spec in fields.items():
            if not name.startswith("observation.") or "lows" in spec or not are_bounds(*_bounds(spec)):
                continue
            low, high = self._seen.get(name, (np.inf, -np.inf))
            self._seen[name] = min(low, float(transition[name].min())), max(high, float(transition[name].max()))
        if self._turns == _TURNS:
            for name, (low, high) in self._seen.items():
                self._check(name, fields[name], low, high)

    def _check(self, name: str, spec: ArraySpec, low: float, high: float) -> None:
        declared = _bounds(spec)
        narrow = _NARROW_BYTES if spec["dtype"] == "uint8" else _NARROW
        if high > low and high - low < narrow * (declared[1] - declared[0]):
            logger.warning(
                "'%s' is declared from %g to %g, but was between %g and %g in the first %d turns: networks read it in "
                "the scale of the declared bounds, where it hardly varies. Declare tighter bounds in the environment, "
                "or wrap it (docs/guides/environments.md)",
                name.removeprefix("observation."),
                *declared,
                low,
                high,
                _TURNS,
            )


def _bounds(spec: ArraySpec) -> tuple[float, float]:
    return spec.get("low", -np.inf), spec.get("high", np.inf)
