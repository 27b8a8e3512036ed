"""Final metrics of runs as one CSV file, and reports from it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pamiq_exp.analysis import Options, ReportError, compare, find_runs, read_run_table, read_runs, write_report
from pamiq_exp.analysis.run_table import final_metrics_table
from tests.analysis.folders import write_run, write_study
from tests.cases import error_of

OPTIONS = Options(metric="coverage", arm_keys=("reward",), task_keys=("world",), baseline="random")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two rewards in two worlds, and one on the table that it has written."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder / "runs", arms={"random": 0.2, "=rnd": 0.5}, worlds=["clean", "remote"], seeds=3)
    write_run(folder / "runs" / "90", seed=9, overrides=["reward=random", "world=clean"], state="failed")
    write_report(read_runs(find_runs([folder / "runs"])), folder / "first", OPTIONS)
    told: list[str] = []
    table = folder / "first" / "tables" / "final_metrics.csv"
    write_report(read_run_table(table), folder / "second", OPTIONS, tell=told.append)
    (folder / "told").write_text("\n".join(told))
    return folder


def test_report_from_a_run_table_has_the_results_of_the_report_that_wrote_it(study: Path) -> None:
    for name in ("results", "results_over_tasks", "against_baseline", "other_metrics", "final_metrics"):
        first, second = ((study / each / "tables" / f"{name}.csv").read_text() for each in ("first", "second"))
        assert first == second, name
    rows = list(csv.DictReader((study / "second" / "tables" / "final_metrics.csv").open()))
    assert len(rows) == 12
    assert list(rows[0])[:4] == ["experiment_name", "reward", "world", "seed"]
    assert {row["reward"] for row in rows} == {"random", "'=rnd"}


def test_report_from_a_run_table_says_why_there_is_no_file_to_reproduce(study: Path) -> None:
    assert "no paper.yaml: 12 of 12 runs have no config" in (study / "told").read_text()
    assert not (study / "second" / "paper.yaml").exists()
    assert "reproduce paper.yaml" in (study / "first" / "appendix.md").read_text()
    assert "reproduce" not in (study / "second" / "appendix.md").read_text()


def test_run_table_joins_run_folders_under_the_same_settings(study: Path, tmp_path: Path) -> None:
    old = read_run_table(study / "first" / "tables" / "final_metrics.csv")
    write_study(tmp_path / "more", arms={"random": 0.3}, worlds=["clean"], seeds=5)
    runs = [*old, *read_runs(find_runs([tmp_path / "more"]))]
    comparison = compare(runs, arm_keys=("reward",), task_keys=("world",))
    assert comparison.arms == ("=rnd", "random")
    assert [run.seed for run in comparison.cells["random", "clean"]] == [0, 1, 2, 3, 4]
    assert len(final_metrics_table(comparison).rows) == 14


def test_run_table_names_arms_of_booleans_and_numbers_as_their_runs_do(tmp_path: Path) -> None:
    options = Options(metric="steps", arm_keys=("told", "rate"))
    for job, (told, rate) in enumerate([(True, 0.001), (False, 1e-5)]):
        words = [f"told={str(told).lower()}", f"rate={rate}"]
        write_run(tmp_path / "runs" / str(job), overrides=words, config={"told": told, "rate": rate})
    runs = read_runs(find_runs([tmp_path / "runs"]))
    write_report(runs, tmp_path / "report", options)
    again = read_run_table(tmp_path / "report" / "tables" / "final_metrics.csv")
    arms = [compare(each, arm_keys=options.arm_keys).arms for each in (runs, again)]
    assert arms == [("told=false, rate=1e-05", "told=true, rate=0.001")] * 2


def test_run_table_takes_columns_before_the_seed_as_settings_and_those_after_it_as_metrics(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(
        "arm,trainers.policy.batch_size,experiment_name,seed,state,coverage,episodes\n"
        "rnd,64,maze,0,finished,0.25,3\n"
        "rnd,1e3,maze,1,,nan,\n\n"
        '"a, b",,maze,,failed,1e-3,7\n'
    )
    first, second, third = read_run_table(path)
    assert (first.experiment_name, first.seed, first.state) == ("maze", 0, "finished")
    assert first.overrides == ("arm=rnd", "trainers.policy.batch_size=64")
    assert first.summary == {"coverage": 0.25, "episodes": 3}
    assert second.state == "finished"
    assert second.summary.keys() == {"coverage"}
    assert (third.overrides, third.seed, third.state) == (("arm=a, b",), None, "failed")
    comparison = compare([first, second, third], arm_keys=("arm",), task_keys=("trainers.policy.batch_size",))
    assert comparison.labels[:2] == (
        ("rnd", "trainers.policy.batch_size=64"),
        ("rnd", "trainers.policy.batch_size=1000"),
    )
    assert len({run.folder for run in (first, second, third)}) == 3


def test_run_table_refuses_other_files_with_one_line_each(tmp_path: Path) -> None:
    cases = {
        "": "is no table of runs: expected columns of settings",
        "arm,coverage\nrnd,1\n": "is no table of runs: expected columns of settings",
        "arm,arm,seed\n": "is no table of runs: expected columns of settings",
        "arm,seed,coverage\nrnd,0\n": "line 2: 2 cells below 3 columns",
        "arm,seed,coverage\n\nrnd,0,1\nrnd,x,1\n": "line 4: expected a seed, a whole number, not 'x'",
        f"arm,seed,coverage\nrnd,{'9' * 5000},1\n": "line 2: expected a seed, a whole number, not '9999",
        "arm,seed,coverage\nrnd,0,high\n": "line 2: expected a number under coverage, not 'high'",
        'arm,seed,coverage\nrnd,0,"1\n': "is no table of comma-separated values",
        "arm,seed,coverage\nrnd,0,1\x00\n": "line 2: expected a number under coverage",
    }
    path = tmp_path / "runs.csv"
    for text, message in cases.items():
        path.write_text(text)
        error = error_of(ReportError, read_run_table, path)
        assert message in error, text
        assert "\n" not in error, text
    path.write_bytes(b"arm,seed\n\xff,0\n")
    assert "cannot be read" in error_of(ReportError, read_run_table, path)
    assert "cannot be read" in error_of(ReportError, read_run_table, tmp_path / "missing.csv")
