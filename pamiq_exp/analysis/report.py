"""A report: tables, figures and one page, from run folders or a table of their final metrics."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from pamiq_exp.analysis import facts, figures, html, maps
from pamiq_exp.analysis.cautions import cautions_of
from pamiq_exp.analysis.comparison import Comparison, compare
from pamiq_exp.analysis.contrasts import Contrast, contrast_table, findings
from pamiq_exp.analysis.exported_file import export_runs, to_yaml
from pamiq_exp.analysis.figures import Plot
from pamiq_exp.analysis.films import newest_films
from pamiq_exp.analysis.results import (
    Scores,
    choose_baseline,
    choose_metric,
    collect_scores,
    curves_of,
    improvements,
    other_metrics,
    result_tables,
)
from pamiq_exp.analysis.run_table import final_metrics_table
from pamiq_exp.analysis.runs import ReportError, Run, varies
from pamiq_exp.analysis.statistics import RESAMPLES, importance
from pamiq_exp.analysis.tables import Cell, Table, number
from pamiq_exp.analysis.trend import results_trend
from pamiq_exp.files import make_own_folder, write_atomically
from pamiq_exp.run_folder.records import PLOT_AXES

_MOST_CURVES = 10
_SECTIONS = (
    "Results",
    "Learning curves",
    "Hyper-parameters",
    "Visits",
    "Videos and pictures",
    "Runs",
    "Settings",
    "Appendix",
)
_MOST_BARS = 24
_MOST_MAPS = 12
_MOST_FILMS = 24
_MOST_BYTES = 40_000_000
_SEARCH_RUNS = 6
_METRIC_AXES = ("environment_step", "wall_seconds", "training_step")


@dataclass(frozen=True)
class Options:
    """What a report is to show.

    Attributes:
        title: Heading of the page; by default the experiments' names.
        metric: Final metric that arms are compared by; by default see `HEADLINE_METRICS`.
        lower_is_better: Whether less of it is better.
        arm_keys, task_keys: Settings that define arms and tasks: see `compare`.
        baseline: The arm that others are compared with; by default one called random.
        curves: Figures drawn over time, such as `dynamics/loss`; by default the metric's and the first others.
        axes: Axes that they are drawn over; by default steps, and for the metric also seconds and training steps.
        contrasts: Comparisons that were listed before, with their corrected p-values.
        normalize: Scale each task to [0, 1] before tasks are pooled.
        resamples: How many bootstrap samples are drawn.
        seed: Seeds the bootstrap.
    """

    title: str | None = None
    metric: str | None = None
    lower_is_better: bool = False
    arm_keys: tuple[str, ...] = ()
    task_keys: tuple[str, ...] = ()
    baseline: str | None = None
    curves: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    normalize: bool = False
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass
class _Output:
    """Where the parts of a report go while it is made."""

    folder: Path
    tell: Callable[[str], None]
    sections: dict[str, list[html.Markup]] = field(default_factory=dict)

    def table(self, section: str, table: Table | None, *, folded: bool = False) -> None:
        if table is None or not table.rows:
            return
        table.write(self.folder / "tables")
        shown = html.table(table)
        self.add(section, html.details(table.title, shown) if folded else shown)

    def plot(self, section: str, plot: Plot) -> None:
        self.tell(f"drawing {plot.name}")
        self.add(section, html.drawing(plot.write(self.folder / "figures"), plot.title))

    def add(self, section: str, content: html.Markup) -> None:
        self.sections.setdefault(section, []).append(content)


def write_report(
    runs: Sequence[Run], folder: Path, options: Options = Options(), tell: Callable[[str], None] = lambda line: None
) -> Path:
    """Write `report.html`, `tables/` (Markdown, LaTeX, CSV), `figures/` (PDF, SVG, PNG) and `appendix.md`.

    Args:
        runs: As `read_runs` returns them: finished, failed or still running.
        folder: Where the files go; those of an earlier report with the same names are replaced.
        options: What is shown.
        tell: Called with a line on each step.

    Returns:
        The path of `report.html`.

    Raises:
        ReportError: The options ask for what the runs do not have, or the folder cannot be written.
    """
    if not runs:
        raise ReportError("there are no runs to report on")
    comparison = compare(runs, arm_keys=options.arm_keys, task_keys=options.task_keys)
    metric = choose_metric(comparison, options.metric)
    scores = None
    if metric is not None and comparison.counted:
        scores = collect_scores(
            comparison, metric, lower_is_better=options.lower_is_better, resamples=options.resamples, seed=options.seed
        )
    baseline = choose_baseline(scores, options.baseline) if scores is not None else None
    wanted = _curves_wanted(runs, metric, options)
    try:
        for each in (folder, folder / "tables", folder / "figures"):
            each.parent.mkdir(parents=True, exist_ok=True)
            make_own_folder(each)
        output = _Output(folder, tell)
        if scores is not None and scores.arms:
            _write_contrasts(output, scores, options)
            _write_results(output, comparison, scores, baseline, options)
            _write_search(output, comparison, scores)
        _write_curves(output, runs, comparison, scores, wanted, options)
        _write_maps(output, comparison, scores)
        _write_films(output, runs, comparison)
        _write_facts(output, runs, comparison)
        page = folder / "report.html"
        write_atomically(page, _page(output, runs, comparison, scores, options))
    except OSError as error:
        raise ReportError(f"the report cannot be written to {folder}: {error.strerror or error}") from error
    return page


def _write_contrasts(output: _Output, scores: Scores, options: Options) -> None:
    if not options.contrasts:
        return
    found, missing = findings(options.contrasts, scores)
    output.table("Results", contrast_table(found, scores.metric, len(options.contrasts)))
    if found:
        means = {each.contrast.name: each.difference.mean for each in found}
        title = f"{scores.metric}: the listed contrasts, each a mean difference with its exact interval"
        output.plot("Results", figures.intervals("contrasts", title, means, label="difference", reference=0.0))
    for line in missing:
        output.add("Results", html.tag("p", f"Not compared: {line}."))


def _write_results(
    output: _Output, comparison: Comparison, scores: Scores, baseline: str | None, options: Options
) -> None:
    for table in result_tables(scores, baseline, options.normalize):
        output.table("Results", table, folded=table.name == "probability_of_improvement")
    arms = scores.arms[:_MOST_BARS]
    values, estimates = scores.values_by_task(arms), scores.by_task()
    shown = f", the best {len(arms)} of {len(scores.arms)} arms" if len(arms) < len(scores.arms) else ""
    title = f"{scores.metric}: interquartile mean with 95 % bootstrap interval, and a dot for each seed{shown}"
    output.plot("Results", figures.bars("results", title, values, estimates, metric=scores.metric, arms=arms))
    if plot := results_trend(comparison, scores):
        output.plot("Results", plot)
    if baseline is not None:
        better = improvements(scores, baseline)
        chosen = {arm: better[arm] for arm in list(better)[:_MOST_BARS]}
        if chosen:
            title = f"How probable it is that a run of an arm has a better {scores.metric} than a run of {baseline}"
            plot = figures.intervals("improvement", title, chosen, label="P(better than the baseline)", reference=0.5)
            output.plot("Results", plot)
        strata = {arm: scores.strata(arm) for arm in scores.arms[: figures.MOST_LINES]}
        title = f"Performance profile: the share of runs whose {scores.metric} exceeds a threshold, 95 % intervals"
        output.plot("Results", figures.profiles("profile", title, strata, metric=scores.metric, seed=options.seed))
    metric = None if "/" in scores.metric else scores.metric
    output.table("Results", other_metrics(comparison, metric, scores.arms))


def _write_search(output: _Output, comparison: Comparison, scores: Scores) -> None:
    """Importance and slices, where enough runs differ in at least one number or two settings."""
    factors = {id(run): each for run, each in zip(comparison.runs, comparison.factors, strict=True)}
    runs = [run for run in comparison.counted if (value := run.value(scores.metric)) is not None and np.isfinite(value)]
    keys = [key for key in comparison.factors[0] if len({repr(factors[id(run)][key]) for run in runs}) > 1]
    numeric = [key for key in keys if all(isinstance(factors[id(run)][key], int | float) for run in runs)]
    if len(runs) < _SEARCH_RUNS or not (len(keys) >= 2 or numeric):
        return
    outcome = np.array([run.value(scores.metric) for run in runs], dtype=np.float64)
    values = {key: [factors[id(run)][key] for run in runs] for key in keys}
    shares = {key: importance(values[key], outcome) for key in keys}
    known = {key: share for key, share in shares.items() if np.isfinite(share)}
    if not known:
        return
    title = f"Share of the variance of {scores.metric} that each setting explains alone (epsilon squared)"
    rows: list[list[Cell]] = [[key, share] for key, share in sorted(known.items(), key=lambda item: -item[1])]
    output.table("Hyper-parameters", Table("importance", title, ["setting", "share"], rows))
    output.plot("Hyper-parameters", figures.importances("importance", title, known))
    best = {key: values[key] for key, _ in sorted(known.items(), key=lambda item: -item[1])[:8]}
    title = f"{scores.metric} of each run over each setting, with means of neighbors"
    output.plot("Hyper-parameters", figures.slices("slices", title, best, outcome, metric=scores.metric))


def _curves_wanted(runs: Sequence[Run], metric: str | None, options: Options) -> list[tuple[str, str]]:
    """Return the metrics to draw with the axis of each. Raises ReportError for what no run has."""
    names = dict.fromkeys(name for run in runs for name in run.records.series)
    for name in options.curves:
        if name not in names:
            raise ReportError(f"no run recorded '{name}'; there are: {', '.join(sorted(names)) or 'none'}")
    for axis in options.axes:
        if axis not in PLOT_AXES:
            raise ReportError(f"there is no axis '{axis}'; use one of {', '.join(PLOT_AXES)}")
    own = [name for name in names if metric is not None and metric in (name, name.partition("/")[2])]
    plain = [name for name in names if "/time/" not in name and name not in own and varies(runs, name)]
    chosen = list(options.curves) or [*own, *sorted(plain, key=lambda name: not name.startswith("interaction/"))]
    return [
        (name, axis)
        for name in (chosen if options.curves else chosen[:_MOST_CURVES])
        for axis in options.axes or (_METRIC_AXES if name in own else _METRIC_AXES[:1])
    ]


def _write_curves(
    output: _Output,
    runs: Sequence[Run],
    comparison: Comparison,
    scores: Scores | None,
    wanted: Iterable[tuple[str, str]],
    options: Options,
) -> None:
    counted = {id(run) for run in comparison.counted}
    shown = [
        (run, label) for run, label in zip(runs, comparison.labels, strict=True) if id(run) in counted or not counted
    ]
    ranked = scores.arms if scores is not None and scores.arms else tuple(dict.fromkeys(arm for _, (arm, _) in shown))
    arms = ranked[: figures.MOST_LINES]
    note = "" if counted else "; no run has finished: these are the runs as they are"
    note += f"; the best {len(arms)} of {len(ranked)} arms" if len(arms) < len(ranked) else ""
    for name, axis in wanted:
        if curves := curves_of(shown, name, arms):
            title = (
                f"{name} over {axis.replace('_', ' ')}: interquartile mean over seeds, 95 % bootstrap interval{note}"
            )
            file = f"curve_{_file_name(name)}_over_{axis}"
            output.plot(
                "Learning curves",
                figures.learning_curves(file, title, curves, axis=axis, metric=name, arms=arms, seed=options.seed),
            )


def _write_maps(output: _Output, comparison: Comparison, scores: Scores | None) -> None:
    """Where the runs of each arm have been, for the tasks whose runs tell."""
    arms = scores.arms if scores is not None and scores.arms else comparison.arms
    for task in comparison.tasks:
        shares = {}
        for arm in arms[:_MOST_MAPS]:
            share = maps.share_of_runs(maps.read_visited(run.folder) for run in comparison.cells.get((arm, task), ()))
            if share is not None:
                shares[arm] = share
        if shares:
            where = f" in {task}" if task else ""
            title = f"Share of the runs of each arm that have visited a cell{where}; blank cells have no visits"
            name = f"visits_{_file_name(task)}" if task else "visits"
            output.plot("Visits", figures.visit_maps(name, title, shares))


def _write_films(output: _Output, runs: Sequence[Run], comparison: Comparison) -> None:
    left = _MOST_BYTES
    shown = []
    for path, caption in newest_films(runs, comparison)[:_MOST_FILMS]:
        try:
            size = path.stat().st_size
            link = None if size <= left else quote(os.path.relpath(path, output.folder))
            shown.append(html.film(path, caption, link))
        except OSError:
            continue
        left -= size if link is None else 0
    if shown:
        output.add("Videos and pictures", html.films(shown))


def _write_facts(output: _Output, runs: Sequence[Run], comparison: Comparison) -> None:
    output.table("Runs", facts.coverage_table(runs, comparison), folded=len(runs) > 40)
    output.table("Runs", facts.failures_table(runs, comparison))
    output.table("Runs", facts.runs_table(runs, comparison), folded=len(runs) > 40)
    if any(facts.wandb_of(run) == "offline" for run in runs):
        output.add(
            "Runs",
            html.tag("p", "W&B runs that are offline: wandb sync RUN/wandb/offline-run-* sends them.", class_="soft"),
        )
    if comparison.counted:
        table = final_metrics_table(comparison)
        write_atomically(output.folder / "tables" / f"{table.name}.csv", table.to_csv())
    output.table("Settings", facts.differences_table(runs, comparison))
    appendix = [
        facts.budget_table(comparison),
        facts.hardware_table(runs),
        facts.versions_table(runs),
        facts.hyper_parameters_table(comparison.counted or runs),
    ]
    for table in appendix:
        output.table("Appendix", table, folded=len(table.rows) > 30)
    lines = facts.commands(runs)
    if lines:
        output.add("Appendix", html.details(f"Commands ({len(lines)})", html.tag("pre", "\n".join(lines))))
    papers = _write_papers(output, comparison.counted)
    write_atomically(output.folder / "appendix.md", _appendix(appendix, lines, papers))


def _write_papers(output: _Output, runs: Sequence[Run]) -> list[str]:
    """Write a file for each experiment with all that it takes to do its runs again, and return their names."""
    written = []
    names = sorted({run.experiment_name for run in runs})
    for name in names:
        file = "paper.yaml" if len(names) == 1 else f"paper_{_file_name(name)}.yaml"
        named = [run for run in runs if run.experiment_name == name]
        if without := sum(not run.config for run in named):
            output.tell(f"no {file}: {without} of {len(named)} runs have no config (rows of a table never have one)")
            continue
        try:
            content = to_yaml(export_runs(named), file)
        except ReportError as error:
            output.tell(f"no {file}: {error}")
            continue
        write_atomically(output.folder / file, content)
        written.append(file)
        words = f"{file} holds all that it takes to do these runs again: python -m pamiq_exp reproduce {file}"
        output.add("Appendix", html.tag("p", words, class_="soft"))
    return written


def _appendix(tables: Iterable[Table], lines: Sequence[str], papers: Sequence[str]) -> str:
    parts = ["# Appendix\n"]
    parts += [f"## {table.title}\n\n{table.to_markdown()}" for table in tables if table.rows]
    if lines:
        fence = "`" * (1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=2))
        fence = max(fence, "```", key=len)
        parts.append(f"## Commands\n\n{fence}bash\n" + "\n".join(lines) + f"\n{fence}\n")
    parts += [
        f"`{each}` holds a whole experiment; `python -m pamiq_exp reproduce {each}` runs it again.\n" for each in papers
    ]
    return "\n".join(parts)


def _page(output: _Output, runs: Sequence[Run], comparison: Comparison, scores: Scores | None, options: Options) -> str:
    states: dict[str, int] = {}
    for run in runs:
        states[run.state] = states.get(run.state, 0) + 1
    names = dict.fromkeys(run.experiment_name for run in runs)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    arms = f"{len(comparison.arms)} arm{'s' * (len(comparison.arms) > 1)}"
    tasks = f" on {len(comparison.tasks)} tasks" if len(comparison.tasks) > 1 else ""
    subtitle = f"{len(runs)} run{'s' * (len(runs) > 1)} ({counts}); {arms}{tasks}"
    if scores is not None and scores.arms:
        best = scores.arms[0]
        value = number(float(np.mean([each.mean() for each in scores.strata(best)])))
        subtitle += f"; compared by {scores.metric}" + (
            f", highest mean {value} ({best})" if len(scores.arms) > 1 and not scores.lower_is_better else ""
        )
    return html.page(
        options.title or ", ".join(list(names)[:4]),
        subtitle,
        cautions_of(comparison, scores, normalized=options.normalize),
        {name: output.sections.get(name, []) for name in _SECTIONS},
    )


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
