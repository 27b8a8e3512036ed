"""Which films and pictures of runs a report shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pamiq_exp.analysis.comparison import Comparison
from pamiq_exp.analysis.runs import Run
from pamiq_exp.run_folder.reader import natural


def newest_films(runs: Sequence[Run], comparison: Comparison) -> list[tuple[Path, str]]:
    """Return the newest film and picture of each name with its caption, of one run of each arm and task.

    A run that counts is preferred to one that does not.
    """
    counted = {id(run) for run in comparison.counted}
    labeled = sorted(zip(runs, comparison.labels, strict=True), key=lambda each: id(each[0]) not in counted)
    newest: dict[tuple[str, str, str], tuple[Path, int | None]] = {}
    chosen: dict[tuple[str, str], Run] = {}
    for run, label in labeled:
        if run.media and chosen.setdefault(label, run) is run:
            for path in run.media:
                newest[(*label, re.sub(r"_\d+$", "", path.stem))] = (path, run.seed)
    found = []
    for (arm, task, name), (path, seed) in sorted(newest.items(), key=lambda item: natural(" ".join(item[0]))):
        parts = (name, arm, task, "" if seed is None else f"seed {seed}", path.stem)
        found.append((path, ", ".join(part for part in parts if part)))
    return found
