"""Comparisons that were listed before the runs were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pamiq_exp.analysis.paired import MOST_PAIRS, PairedDifference, equivalence, holm, paired_difference
from pamiq_exp.analysis.results import FloatArray, Scores
from pamiq_exp.analysis.runs import ReportError
from pamiq_exp.analysis.tables import Cell, Table
from pamiq_exp.files import BrokenFileError, read_yaml

ALPHA = 0.05
_FORM = "{name: ..., first: {arm: ..., task: ...}, second: {arm: ..., task: ...}}, and `within: NUMBER` for no effect"


@dataclass(frozen=True)
class Contrast:
    """The difference between two cells, paired by seed.

    Attributes:
        name: What is claimed.
        first, second: Arm and task of each cell; the second is subtracted.
        within: The largest difference that counts as none, for a claim of no effect; None for a claim of an effect.
    """

    name: str
    first: tuple[str, str]
    second: tuple[str, str]
    within: float | None = None


@dataclass(frozen=True)
class Finding:
    """What the runs say of a contrast.

    Attributes:
        contrast: The contrast.
        difference: First minus second.
        p: P-value of the claim's opposite: no difference, or a difference beyond `within`.
        corrected: The same, corrected for the number of contrasts (Holm).
    """

    contrast: Contrast
    difference: PairedDifference
    p: float
    corrected: float


def read_contrasts(path: Path) -> tuple[Contrast, ...]:
    """Return the contrasts that a YAML file lists.

    Raises:
        ReportError: The file cannot be read, or has another form.
    """
    try:
        content = read_yaml(path)
    except (OSError, BrokenFileError) as error:
        raise ReportError(f"the contrasts cannot be read: {error}") from error
    if not isinstance(content, list) or not content:
        raise ReportError(f"{path} is no list of contrasts; each entry has the form {_FORM}")
    return tuple(_contrast(entry, f"{path}, entry {number}") for number, entry in enumerate(content, start=1))


def findings(contrasts: Sequence[Contrast], scores: Scores) -> tuple[list[Finding], list[str]]:
    """Return what the runs say, and a line for each contrast of which they say nothing yet.

    Contrasts without runs count in the correction: it is for the number that was listed.
    """
    found, missing = [], []
    for contrast in contrasts:
        try:
            differences = _differences(contrast, scores)
        except ReportError as error:
            missing.append(f"{contrast.name}: {error}")
            continue
        difference = paired_difference(differences)
        p = difference.p if contrast.within is None else equivalence(differences, contrast.within)
        found.append(Finding(contrast, difference, p, p))
    corrected = holm([*(each.p for each in found), *[1.0] * len(missing)])
    return [Finding(e.contrast, e.difference, e.p, float(c)) for e, c in zip(found, corrected, strict=False)], missing


def contrast_table(found: Sequence[Finding], metric: str, listed: int) -> Table:
    """Return one row for each finding."""
    coverages = sorted({each.difference.coverage for each in found if each.difference.mean.has_interval})
    covered = " or ".join(f"{100 * coverage:.1f} %" for coverage in coverages) or "none"
    rows: list[list[Cell]] = [
        [
            each.contrast.name,
            _cell_name(each.contrast.first),
            _cell_name(each.contrast.second),
            each.difference.pairs,
            each.difference.mean,
            each.difference.effect,
            "none" if each.contrast.within is None else f"within {each.contrast.within:g}",
            each.p,
            each.corrected,
            "yes" if each.corrected <= ALPHA else "no",
        ]
        for each in found
    ]
    return Table(
        name="contrasts",
        title=(
            f"{metric}: the {listed} contrasts that were listed. Differences are paired by seed; intervals are exact "
            f"for symmetric differences and hold the true mean in {covered} of all cases; p-values are those of exact "
            "sign-flip tests, for `within` of two one-sided ones, and corrected for the number of contrasts (Holm)"
        ),
        columns=(
            "contrast", "first", "second", "pairs", "difference", "effect size", "null effect",
            "p", "corrected p", f"shown at {ALPHA:g}",
        ),
        rows=rows,
    )  # fmt: skip


def _contrast(entry: object, place: str) -> Contrast:
    if not isinstance(entry, Mapping) or not entry.keys() >= {"name", "first", "second"}:
        raise ReportError(f"{place}: a contrast has the form {_FORM}")
    if unknown := sorted(map(str, entry.keys() - {"name", "first", "second", "within"})):
        raise ReportError(f"{place}: unknown key '{unknown[0]}'; a contrast has the form {_FORM}")
    within = entry.get("within")
    if within is not None and not (isinstance(within, int | float) and not isinstance(within, bool) and within > 0):
        raise ReportError(f"{place}: within must be a positive number, not {within!r}")
    first, second = (_cell(entry[side], f"{place}, {side}") for side in ("first", "second"))
    return Contrast(str(entry["name"]), first, second, None if within is None else float(within))


def _cell(value: Any, place: str) -> tuple[str, str]:
    if not isinstance(value, Mapping) or value.keys() != {"arm", "task"}:
        raise ReportError(f"{place}: give arm and task, as the tables of the report name them")
    return str(value["arm"]), str(value["task"])


def _differences(contrast: Contrast, scores: Scores) -> FloatArray:
    """Return first minus second by seed, `(pairs,)`. Raises ReportError if a cell has no runs or no seed is shared."""
    by_seed = []
    for cell in (contrast.first, contrast.second):
        if cell not in scores.values:
            raise ReportError(f"there is no run of {_cell_name(cell)}")
        by_seed.append(dict(zip(scores.seeds[cell], scores.values[cell].tolist(), strict=True)))
    shared = sorted(seed for seed in by_seed[0].keys() & by_seed[1].keys() if seed is not None)
    if not 1 <= len(shared) <= MOST_PAIRS:
        raise ReportError(f"the two cells share {len(shared)} seeds; there must be 1 to {MOST_PAIRS}")
    return np.array([by_seed[0][seed] - by_seed[1][seed] for seed in shared])


def _cell_name(cell: tuple[str, str]) -> str:
    return f"{cell[0]} in {cell[1]}"
