"""The card of a shared folder: what was run, what came of it, and how to use what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pamiq_exp.analysis import facts, figures
from pamiq_exp.analysis.comparison import Comparison
from pamiq_exp.analysis.differences import depends_on_clock
from pamiq_exp.analysis.figures import Plot
from pamiq_exp.analysis.results import (
    Scores,
    choose_metric,
    collect_scores,
    curves_of,
    other_metrics,
    result_tables,
)
from pamiq_exp.analysis.runs import Run
from pamiq_exp.analysis.tables import Table, markdown
from pamiq_exp.files import write_atomically
from pamiq_exp.run_folder import file_names

FIGURE = "results"
_AXIS = "environment_step"


def write_card(
    folder: Path,
    paper: Mapping[str, Any],
    comparison: Comparison,
    models: Mapping[int, str],
    *,
    license_id: str,
) -> None:
    """Write `README.md`, with the front matter that model hubs read, and its figure.

    Args:
        folder: Where they go.
        paper: The exported experiment: see `export_runs`.
        comparison: Its runs.
        models: The checkpoint of each run whose models lie in the folder, by number of the run.
        license_id: Name of the license, as model hubs know it.

    Raises:
        OSError: They cannot be written.
    """
    metric = choose_metric(comparison, None) if comparison.counted else None
    scores = collect_scores(comparison, metric) if metric is not None else None
    plot = _plot(comparison, scores)
    if plot is not None:
        plot.write(folder)
    parts = [
        _front_matter(license_id),
        f"# {markdown(str(paper['experiment_name']))}",
        _summary(paper),
        "## Results",
        *_results(comparison, scores, plot),
        "## Use",
        _use(paper, models),
        "## Files",
        _files(models),
        "## Budget, machines and versions",
        *_facts(comparison),
    ]
    write_atomically(folder / file_names.CARD, "\n\n".join(part.strip("\n") for part in parts if part) + "\n")


def _front_matter(license_id: str) -> str:
    return f"---\nlicense: {license_id}\nlibrary_name: pamiq_exp\ntags:\n- reinforcement-learning\n---"


def _summary(paper: Mapping[str, Any]) -> str:
    budget, seeds = paper["budget"], paper["seeds"]
    runs = f"{budget['runs']} run{'s' * (budget['runs'] != 1)}"
    shown = ", ".join(map(str, seeds[:20])) + (", ..." if len(seeds) > 20 else "")
    lines = [
        f"{runs} with seed{'s' * (len(seeds) != 1)} {shown}, {paper['num_envs']} environments each, mode "
        f"`{paper['mode']}`: {budget['environment_steps']:,} environment steps and {budget['training_steps']:,} "
        f"training steps in {budget['wall_hours']} hours in total."
    ]
    lines += [f"Left out: {markdown(line)}." for line in paper["left_out"]]
    return "\n".join(lines)


def _results(comparison: Comparison, scores: Scores | None, plot: Plot | None) -> list[str]:
    if scores is None:
        return ["No run has finished, so there are no final metrics."]
    others = other_metrics(comparison, scores.metric, scores.arms)
    tables = [*result_tables(scores, None), _without_times(others) if others is not None else None]
    found = []
    for table in tables:
        if table is not None and len(table.columns) > 1:
            found += [f"{markdown(table.title)}:", table.to_markdown()]
    if plot is not None:
        found.append(f"![{markdown(plot.title)}]({FIGURE}.png)\n\n{markdown(plot.title)}.")
    return found


def _without_times(table: Table) -> Table:
    kept = [index for index, column in enumerate(table.columns) if not depends_on_clock(column)]
    rows = [[row[index] for index in kept] for row in table.rows]
    return Table(table.name, table.title, [table.columns[index] for index in kept], rows)


def _plot(comparison: Comparison, scores: Scores | None) -> Plot | None:
    """Draw the metric over steps where it was recorded, else its final values."""
    if scores is None or not scores.arms:  # no run has ended with a finite value
        return None
    arms = scores.arms[: figures.MOST_LINES]
    name = next((name for run in comparison.counted for name in run.records.series
                 if scores.metric in (name, name.partition("/")[2])), None)  # fmt: skip
    interval = "interquartile mean over seeds, 95 % bootstrap interval"
    labeled = ((run, cell) for cell, runs in comparison.cells.items() for run in runs)
    if name is not None and (curves := curves_of(labeled, name, arms)):
        title = f"{name} over environment steps: {interval}"
        return figures.learning_curves(FIGURE, title, curves, axis=_AXIS, metric=name, arms=arms)
    title = f"{scores.metric}: {interval}, and a dot for each seed"
    values, estimates = scores.values_by_task(arms), scores.by_task()
    return figures.bars(FIGURE, title, values, estimates, metric=scores.metric, arms=arms)


def _use(paper: Mapping[str, Any], models: Mapping[int, str]) -> str:
    version = str(paper["versions"].get("pamiq_exp", "")).partition(",")[0]
    allow = "".join(f" --allow {prefix}" for prefix in paper["allowed"])
    lines = [f"With pamiq_exp{f' {version}' if version else ''}, in this folder:", "", "```bash",
             f"python -m pamiq_exp reproduce .{allow}  # run it again and compare the metrics"]  # fmt: skip
    has_returns = any("return_mean" in run["metrics"] for run in paper["runs"])
    if models and has_returns:
        first = min(models)
        which = f" --run {first}" if first else ""
        lines.append(f"python -m pamiq_exp evaluate .{which}{allow}  # let the trained agent play episodes")
    lines += ["```"]
    if paper["allowed"]:
        lines += ["", f"It names classes of {', '.join(paper['allowed'])}, which must be installed as well."]
    return "\n".join(lines)


def _files(models: Mapping[int, str]) -> str:
    lines = [f"- `{file_names.EXPORTED}`: config, seeds, budget, versions and metrics of each run"]
    lines += [f"- `{file_names.MODELS}/{number}/{name}/`: parameters of the models of run {number} in safetensors"
              for number, name in sorted(models.items())]  # fmt: skip
    return "\n".join(
        [*lines, f"- `{FIGURE}.pdf`, `.svg`, `.png`: the figure", f"- `{file_names.LICENSE}`: the license"]
    )


def _facts(comparison: Comparison) -> list[str]:
    runs: Sequence[Run] = comparison.counted or comparison.runs
    tables = [facts.budget_table(comparison), facts.hardware_table(runs), facts.versions_table(runs)]
    return [part for table in tables if table.rows for part in (f"{markdown(table.title)}:", table.to_markdown())]
