"""A metric over a setting whose values are numbers, such as the delay of an action."""

from __future__ import annotations

from pamiq_exp.analysis import figures
from pamiq_exp.analysis.comparison import Comparison
from pamiq_exp.analysis.records import LARGEST
from pamiq_exp.analysis.results import Scores

_FEWEST_TASKS = 3


def results_trend(comparison: Comparison, scores: Scores) -> figures.Plot | None:
    """Return a figure of the scores over the tasks, if these are three or more values of one numeric setting.

    Arms beyond `figures.MOST_LINES` are left out, the best are shown.
    """
    keys = [key for key in comparison.settings[0] if key not in comparison.factors[0]]
    if len(keys) != 1 or len(scores.tasks) < _FEWEST_TASKS:
        return None
    numbers = {}
    for (_, task), settings in zip(comparison.labels, comparison.settings, strict=True):
        value = settings[keys[0]]
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            return None
        numbers[task] = float(value)
    arms = scores.arms[: figures.MOST_LINES]
    shown = f", the best {len(arms)} of {len(scores.arms)} arms" if len(arms) < len(scores.arms) else ""
    title = f"{scores.metric} over {keys[0]}: interquartile mean, 95 % bootstrap interval, a dot for each seed{shown}"
    return figures.trend(
        "trend",
        title,
        {task: numbers[task] for task in scores.tasks},
        scores.values_by_task(arms),
        scores.by_task(),
        setting=keys[0],
        metric=scores.metric,
        arms=arms,
    )
