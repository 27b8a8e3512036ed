"""`python -m pamiq_exp report PATH... -o DIR`: tables, statistics, figures and one page, from runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pamiq_exp.analysis import (
    Options,
    ReportError,
    find_runs,
    read_contrasts,
    read_run_table,
    read_runs,
    split_tables,
    write_report,
)
from pamiq_exp.analysis.records import RECORDS_READ
from pamiq_exp.analysis.statistics import RESAMPLES
from pamiq_exp.cli._arguments import command_parser, whole_number
from pamiq_exp.jobs.paths import typed_path
from pamiq_exp.run_folder.records import PLOT_AXES


def main(words: Sequence[str]) -> int:
    """Write a report. Returns 0, or 2 if it cannot be made as asked."""
    arguments = _parser().parse_args(words)
    try:
        if arguments.output.exists() and not arguments.output.is_dir():
            raise ReportError(f"{arguments.output} is a file: give a folder for the report (-o DIR)")
        tables, others = split_tables(arguments.paths)
        runs = [run for table in tables for run in read_run_table(table)]
        folders = find_runs(others)
        _print_progress(f"reading {len(folders) + len(runs)} run{'s' * (len(folders) + len(runs) > 1)}")
        runs += read_runs(folders, records=arguments.records or None, processes=arguments.processes)
        page = write_report(runs, arguments.output, _options(arguments), _print_progress)
    except ReportError as error:
        print(error, file=sys.stderr)
        return 2
    finished = sum(run.state == "finished" for run in runs)
    print(f"{len(runs)} runs, {finished} finished: {page}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("report", "Make tables, statistics, figures and one page from run folders.")
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a run, a sweep, any folder with runs below it, or a CSV file of final metrics",
    )
    add("-o", "--output", type=typed_path, required=True, metavar="DIR", help="where the report goes")
    add("--title", help="heading of the report")
    add("--metric", help="the final metric that arms are compared by, such as coverage or policy/loss")
    add("--lower-is-better", action="store_true", help="less of the metric is better")
    add("--arm", nargs="+", default=(), metavar="KEY", help="settings that define an arm, such as reward")
    add("--task", nargs="+", default=(), metavar="KEY", help="settings that define a task, such as world")
    add("--baseline", metavar="ARM", help="the arm that others are compared with")
    add("--curve", nargs="+", default=(), metavar="METRIC", help="metrics to draw over time, such as dynamics/loss")
    add("--axis", nargs="+", default=(), metavar="AXIS", help=f"what they are drawn over: {', '.join(PLOT_AXES)}")
    add("--contrasts", type=typed_path, metavar="FILE",
        help="a YAML list of comparisons that were fixed before the runs: docs/guides/results.md")  # fmt: skip
    add("--normalize", action="store_true", help="scale each task to [0, 1] before tasks are pooled")
    add("--resamples", type=whole_number(1), default=RESAMPLES, metavar="N", help=f"bootstrap samples ({RESAMPLES})")
    add("--seed", type=whole_number(0), default=0, help="seeds the bootstrap (0)")
    add("--records", type=whole_number(0), default=RECORDS_READ, metavar="N",
        help=f"records of each kind that are read of a run, evenly spaced ({RECORDS_READ}); 0 for all")  # fmt: skip
    add("--processes", type=whole_number(1), metavar="N", help="how many processes read (one a processor)")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        title=arguments.title,
        metric=arguments.metric,
        lower_is_better=arguments.lower_is_better,
        arm_keys=tuple(arguments.arm),
        task_keys=tuple(arguments.task),
        baseline=arguments.baseline,
        curves=tuple(arguments.curve),
        axes=tuple(arguments.axis),
        contrasts=read_contrasts(arguments.contrasts) if arguments.contrasts else (),
        normalize=arguments.normalize,
        resamples=arguments.resamples,
        seed=arguments.seed,
    )


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr)
