"""What many runs say together: statistics, tables, figures and reports, from run folders or their table."""

from pamiq_exp.analysis.card import write_card
from pamiq_exp.analysis.comparison import Comparison, compare
from pamiq_exp.analysis.contrasts import read_contrasts
from pamiq_exp.analysis.differences import depends_on_clock, run_differences
from pamiq_exp.analysis.exported_file import (
    apply_changes,
    content_hash,
    export_runs,
    final_metrics,
    masked_keys,
    runs_that_count,
    to_yaml,
)
from pamiq_exp.analysis.facts import hyper_parameters_table
from pamiq_exp.analysis.records import Records, Series, read_records
from pamiq_exp.analysis.report import Options, write_report
from pamiq_exp.analysis.results import Scores, collect_scores, result_tables
from pamiq_exp.analysis.run_table import read_run_table, split_tables
from pamiq_exp.analysis.runs import ReportError, Run, find_runs, read_run, read_runs
from pamiq_exp.analysis.statistics import (
    Estimate,
    curve_interval,
    difference,
    estimate,
    importance,
    interquartile_mean,
    mean,
    performance_profile,
    probability_of_improvement,
)
from pamiq_exp.analysis.tables import Table

__all__ = [
    "Comparison",
    "Estimate",
    "Options",
    "Records",
    "ReportError",
    "Run",
    "Scores",
    "Series",
    "Table",
    "apply_changes",
    "collect_scores",
    "compare",
    "content_hash",
    "curve_interval",
    "depends_on_clock",
    "difference",
    "estimate",
    "export_runs",
    "final_metrics",
    "find_runs",
    "hyper_parameters_table",
    "importance",
    "interquartile_mean",
    "masked_keys",
    "mean",
    "performance_profile",
    "probability_of_improvement",
    "read_contrasts",
    "read_records",
    "read_run",
    "read_run_table",
    "read_runs",
    "result_tables",
    "run_differences",
    "runs_that_count",
    "split_tables",
    "to_yaml",
    "write_card",
    "write_report",
]
