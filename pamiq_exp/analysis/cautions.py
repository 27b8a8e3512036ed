"""What a reader should know before believing a report."""

from __future__ import annotations

from pamiq_exp.analysis.comparison import Comparison
from pamiq_exp.analysis.results import Scores


def cautions_of(comparison: Comparison, scores: Scores | None, *, normalized: bool) -> list[str]:
    """Return a sentence for each thing that a reader should know before believing a report.

    Args:
        comparison: Its runs.
        scores: Those of the main metric, if there is one.
        normalized: Whether each task was scaled before tasks were pooled.
    """
    runs, cautions = comparison.runs, []
    if not comparison.counted:
        cautions.append("No run has finished: there are no statistics, and the curves show the runs as they are.")
    elif comparison.left_out:
        cautions.append(f"{len(comparison.left_out)} of {len(runs)} runs are not in the statistics: see Runs.")
    if scores is None and comparison.counted:
        cautions.append("The runs have no final metric to compare: choose one with --metric.")
    cautions += [_sentence(warning) for warning in comparison.warnings]
    if scores is not None:
        cautions += [f"Left out, because it has no finite value: {line}" for line in scores.missing[:10]]
        incomplete = [arm for arm in scores.arms if any((arm, task) not in scores.values for task in scores.tasks)]
        if incomplete:
            cautions.append(f"Not on all tasks, so pooled numbers are over fewer: {', '.join(incomplete[:8])}.")
        if len(scores.tasks) > 1 and not normalized:
            cautions.append("Tasks are pooled as they are unless --normalize is given: fair only on one scale.")
    bad = sum(series.not_finite for run in runs for series in run.records.series.values())
    if bad:
        cautions.append(f"{bad} recorded numbers are NaN or infinite; curves have gaps there.")
    return cautions


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + "."
