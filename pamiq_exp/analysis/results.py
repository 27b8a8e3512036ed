"""Scores of arms on tasks, and the tables of what they say."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.analysis import statistics
from pamiq_exp.analysis.comparison import Comparison
from pamiq_exp.analysis.records import Series
from pamiq_exp.analysis.runs import ReportError, Run
from pamiq_exp.analysis.statistics import Estimate
from pamiq_exp.analysis.tables import Cell, Table
from pamiq_exp.run_folder.records import HEADLINE_METRICS

FloatArray = NDArray[np.float64]

_NO_RESULT = ("seed", "state", "reason", "experiment_name", "steps", "turns")
_MOST_OTHERS = 16


@dataclass(frozen=True)
class Scores:
    """One metric of all runs that count and have it.

    Attributes:
        metric: Its name.
        lower_is_better: Whether less is better.
        values: By arm and task, ordered by seed, `(runs,)`.
        seeds: The seeds in the same order.
        arms: Arms that have scores, best first.
        tasks: Tasks that have scores.
        missing: Runs without a finite value, and what they have instead.
        resamples, seed: For the bootstrap.
    """

    metric: str
    lower_is_better: bool
    values: Mapping[tuple[str, str], FloatArray]
    seeds: Mapping[tuple[str, str], tuple[int | None, ...]]
    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    missing: tuple[str, ...]
    resamples: int = statistics.RESAMPLES
    seed: int = 0

    def strata(self, arm: str, tasks: Sequence[str] | None = None) -> list[FloatArray]:
        """The scores of an arm, one array a task that it has, or that is given."""
        return [self.values[arm, task] for task in (tasks or self.tasks) if (arm, task) in self.values]

    def shared_tasks(self, first: str, second: str) -> list[str]:
        """Tasks on which both arms have scores."""
        return [task for task in self.tasks if (first, task) in self.values and (second, task) in self.values]

    def estimate(self, strata: Sequence[FloatArray], statistic: statistics.Statistic) -> Estimate:
        """A statistic with its interval."""
        return statistics.estimate(strata, statistic, resamples=self.resamples, seed=self.seed)

    def by_task(self) -> dict[tuple[str, str], Estimate]:
        """The interquartile mean by arm and task."""
        return {cell: self.estimate([values], statistics.interquartile_mean) for cell, values in self.values.items()}

    def values_by_task(self, arms: Sequence[str]) -> dict[str, dict[str, FloatArray]]:
        """The scores of some arms by task and arm."""
        return {task: {arm: self.values[arm, task] for arm in arms if (arm, task) in self.values}
                for task in self.tasks}  # fmt: skip

    def is_paired(self, first: str, second: str, tasks: Sequence[str]) -> bool:
        """Whether both arms ran with the same seeds."""
        return all(
            self.seeds[first, task] == self.seeds[second, task] and None not in self.seeds[first, task]
            for task in tasks
        )

    def normalized(self) -> Scores:
        """The same scores with 0 for the least and 1 for the largest of each task, so that tasks can be pooled."""
        spans = {task: np.concatenate([v for (_, t), v in self.values.items() if t == task]) for task in self.tasks}
        values = {
            (arm, task): (scores - spans[task].min()) / (np.ptp(spans[task]) or 1.0)
            for (arm, task), scores in self.values.items()
        }
        return replace(self, values=values)


def curves_of(
    labeled: Iterable[tuple[Run, tuple[str, str]]], metric: str, arms: Sequence[str]
) -> dict[str, dict[str, list[Series]]]:
    """Return the course of a metric by task and arm, of the runs of these arms that recorded it.

    Args:
        labeled: Runs, each with its arm and task.
        metric: Such as `interaction/coverage`.
        arms: Those that are shown.
    """
    curves: dict[str, dict[str, list[Series]]] = {}
    for run, (arm, task) in labeled:
        series = run.records.series.get(metric)
        if series is not None and arm in arms and np.isfinite(series.values).any():
            curves.setdefault(task, {}).setdefault(arm, []).append(series)
    return curves


def choose_metric(comparison: Comparison, wanted: str | None) -> str | None:
    """Return what arms are compared by: what was asked for, or the first favorite that runs have, or None.

    Raises:
        ReportError: No run has what was asked for.
    """
    names = available_metrics(comparison.counted)
    if wanted is None:
        recorded = [name for name in names if "/" in name and "/time/" not in name]
        return next((name for name in (*HEADLINE_METRICS, *recorded) if name in names), None)
    if wanted in names or not comparison.counted:
        return wanted
    close = difflib.get_close_matches(wanted, names, n=3)
    offered = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(sorted(names))}"
    raise ReportError(f"no finished run has the metric '{wanted}': {offered}")


def available_metrics(runs: Sequence[Run]) -> list[str]:
    """Return the names of all final metrics: those of summaries, then those of records."""
    names = dict.fromkeys(name for run in runs for name in run.summary if run.value(name) is not None)
    return list(names | dict.fromkeys(name for run in runs for name in run.records.series))


def collect_scores(
    comparison: Comparison,
    metric: str,
    *,
    lower_is_better: bool = False,
    resamples: int = statistics.RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Collect one metric of all runs that count."""
    values, seeds, missing = {}, {}, []
    for cell, runs in comparison.cells.items():
        pairs = [(run, run.value(metric)) for run in runs]
        missing += [
            f"{run.folder} has {'no' if value is None else value} {metric}"
            for run, value in pairs
            if not _is_finite(value)
        ]
        good = [(run.seed, value) for run, value in pairs if value is not None and _is_finite(value)]
        if good:
            values[cell] = np.array([value for _, value in good])
            seeds[cell] = tuple(each for each, _ in good)
    sign = 1.0 if lower_is_better else -1.0
    middles = {
        arm: sign * float(np.mean([float(v.mean()) for (a, _), v in values.items() if a == arm]))
        for arm in comparison.arms
        if any(a == arm for a, _ in values)
    }
    return Scores(
        metric=metric,
        lower_is_better=lower_is_better,
        values=values,
        seeds=seeds,
        arms=tuple(sorted(middles, key=lambda arm: middles[arm])),
        tasks=tuple(task for task in comparison.tasks if any(t == task for _, t in values)),
        missing=tuple(missing),
        resamples=resamples,
        seed=seed,
    )


def choose_baseline(scores: Scores, wanted: str | None) -> str | None:
    """Return the arm that others are compared with: what was asked for, or one called random, or the last.

    There is none without another arm, and, unless it was asked for, none where every arm has a single run (a search).

    Raises:
        ReportError: There is no such arm.
    """
    if wanted is not None:
        if wanted not in scores.arms:
            raise ReportError(f"there is no arm '{wanted}' to compare with; the arms are: {'; '.join(scores.arms)}")
        return wanted
    if len(scores.arms) < 2 or all(len(values) == 1 for values in scores.values.values()):
        return None
    names = [arm for arm in scores.arms if "random" in (part.rpartition("=")[2] for part in arm.split(", "))]
    return names[0] if names else scores.arms[-1]


def result_tables(scores: Scores, baseline: str | None, normalize: bool = False) -> list[Table]:
    """Return the tables of the main metric."""
    tables = [_by_task(scores)]
    pooled = scores.normalized() if normalize else scores
    if len(scores.tasks) > 1:
        tables.append(_over_tasks(pooled, normalize))
    if baseline is not None:
        tables.append(_against(pooled, baseline))
        tables.append(_pairwise(scores))
    return tables


def improvements(scores: Scores, baseline: str) -> dict[str, Estimate]:
    """Return for each other arm how probable it is that one of its runs is better than one of the baseline."""
    return {
        arm: _improvement(scores, arm, baseline)
        for arm in scores.arms
        if arm != baseline and scores.shared_tasks(arm, baseline)
    }


def other_metrics(comparison: Comparison, metric: str | None, arms: Sequence[str]) -> Table | None:
    """Return a table of all other final metrics: interquartile means over all runs of each arm."""
    names = [
        name
        for name in available_metrics(comparison.counted)
        if "/" not in name and name != metric and name not in _NO_RESULT
    ]
    shown = [name for name in names if _varies(comparison.counted, name)][:_MOST_OTHERS]
    if not shown:
        return None
    rows: list[list[Cell]] = [[arm, *(_middle(comparison.of_arm(arm), name) for name in shown)] for arm in arms]
    return Table(
        "other_metrics", "Other final metrics: interquartile mean over all runs of an arm", ["arm", *shown], rows
    )


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _varies(runs: Sequence[Run], name: str) -> bool:
    return len({run.summary.get(name) for run in runs}) > 1 or len(runs) == 1


def _middle(runs: Sequence[Run], name: str) -> float | None:
    values = [value for run in runs if (value := run.value(name)) is not None and math.isfinite(value)]
    return float(statistics.interquartile_mean(np.array(values))) if values else None


def _by_task(scores: Scores) -> Table:
    many = len(scores.tasks) > 1
    rows: list[list[Cell]] = []
    for task in scores.tasks:
        for arm in scores.arms:
            values = scores.values.get((arm, task))
            if values is not None:
                rows.append([*([task] if many else []), arm, len(values), *_summary(scores, [values]),
                             float(values.min()), float(values.max())])  # fmt: skip
    columns = [*(["task"] if many else []), "arm", "seeds", "mean", "IQM", "least", "largest"]
    return Table("results", f"{scores.metric} over seeds, with 95 % bootstrap intervals", columns, rows)


def _over_tasks(scores: Scores, normalized: bool) -> Table:
    rows: list[list[Cell]] = []
    for arm in scores.arms:
        strata = scores.strata(arm)
        rows.append([arm, len(strata), sum(map(len, strata)), *_summary(scores, strata)])
    scale = "scaled to [0, 1] on each task and pooled" if normalized else "pooled as it is"
    title = f"{scores.metric} over {len(scores.tasks)} tasks, {scale}, with 95 % stratified bootstrap intervals"
    return Table("results_over_tasks", title, ["arm", "tasks", "runs", "mean", "IQM"], rows)


def _summary(scores: Scores, strata: Sequence[FloatArray]) -> Iterator[Estimate]:
    for statistic in (statistics.mean, statistics.interquartile_mean):
        yield scores.estimate(strata, statistic)


def _against(scores: Scores, baseline: str) -> Table:
    rows: list[list[Cell]] = []
    for arm in scores.arms:
        tasks = scores.shared_tasks(arm, baseline)
        if arm == baseline or not tasks:
            continue
        paired = scores.is_paired(arm, baseline, tasks)
        gap = statistics.difference(
            scores.strata(arm, tasks),
            scores.strata(baseline, tasks),
            paired=paired,
            resamples=scores.resamples,
            seed=scores.seed,
        )
        rows.append([arm, gap, _verdict(scores, gap), "yes" if paired else "no", _improvement(scores, arm, baseline)])
    columns = ["arm", "difference in IQM", "the interval says", "paired by seed", "P(better)"]
    return Table(
        "against_baseline", f"{scores.metric} against {baseline}, with 95 % bootstrap intervals", columns, rows
    )


def _verdict(scores: Scores, gap: Estimate) -> str:
    if not gap.has_interval:
        return "too few seeds"
    if gap.low <= 0 <= gap.high:
        return "undecided"
    return "better" if (gap.low > 0) != scores.lower_is_better else "worse"


def _improvement(scores: Scores, arm: str, baseline: str) -> Estimate:
    tasks = scores.shared_tasks(arm, baseline)
    sides = [scores.strata(arm, tasks), scores.strata(baseline, tasks)]
    if scores.lower_is_better:
        sides.reverse()
    return statistics.probability_of_improvement(*sides, resamples=scores.resamples, seed=scores.seed)


def _pairwise(scores: Scores) -> Table:
    arms = scores.arms[:12]
    better = partial(_point, scores)
    rows: list[list[Cell]] = [[row, *(better(row, column) for column in arms)] for row in arms]
    title = f"Probability that a run of the arm on the left has a better {scores.metric} than one of the arm above"
    return Table("probability_of_improvement", title, ["arm", *arms], rows)


def _point(scores: Scores, first: str, second: str) -> float | None:
    if first == second or not scores.shared_tasks(first, second):
        return None
    return _improvement(replace(scores, resamples=1), first, second).value
