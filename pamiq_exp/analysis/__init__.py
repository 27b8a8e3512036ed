"""What many runs say together: statistics, tables, figures and reports. Reads run folders and nothing else."""

from pamiq_exp.analysis.comparison import Comparison, compare
from pamiq_exp.analysis.records import Records, Series, read_records
from pamiq_exp.analysis.report import Options, write_report
from pamiq_exp.analysis.results import Scores, collect_scores, result_tables
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
    "collect_scores",
    "compare",
    "curve_interval",
    "difference",
    "estimate",
    "find_runs",
    "importance",
    "interquartile_mean",
    "mean",
    "performance_profile",
    "probability_of_improvement",
    "read_records",
    "read_run",
    "read_runs",
    "result_tables",
    "write_report",
]
