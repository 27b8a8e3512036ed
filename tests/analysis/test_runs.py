from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from pamiq_exp.analysis import ReportError, find_runs, read_run, read_runs
from tests.analysis.folders import write_run


def test_runs_are_found_in_folders_sweeps_and_single_paths_each_once(tmp_path: Path) -> None:
    for job in (2, 10, 1):
        write_run(tmp_path / "sweeps" / str(job))
    alone = write_run(tmp_path / "alone")
    (alone / "checkpoints" / "step_1").mkdir(parents=True)
    (alone / "checkpoints" / "step_1" / "manifest.json").write_text("{}")
    found = find_runs([tmp_path, alone])
    assert [path.name for path in found] == ["alone", "1", "2", "10"]


def test_find_runs_refuses_missing_paths_files_and_folders_without_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match=r"there is no .*nowhere"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(ReportError, match="is a file: give the run folder"):
        find_runs([tmp_path / "file"])
    with pytest.raises(ReportError, match="no run in"):
        find_runs([tmp_path])


def test_read_run_reads_seed_state_settings_and_values(tmp_path: Path) -> None:
    spec = {"shape": [64, 64, 3], "dtype": "uint8"}
    config = {"models": {"a": {"layers": [1, 2], "input": spec}}, "list": [{"x": 1}]}
    run = read_run(write_run(tmp_path / "run", seed=3, config=config, summary={"coverage": 0.5, "bad": "NaN"}))
    assert (run.seed, run.state, run.experiment_name) == (3, "finished", "study")
    assert run.settings["models.a.layers"] == "[1, 2]"
    assert run.settings["list[0].x"] == 1
    assert not any("input" in key for key in run.settings), "spaces follow from the environment"
    assert run.value("coverage") == 0.5
    assert run.value("bad") != run.value("bad")
    assert run.value("interaction/reward") == run.records.series["interaction/reward"].last
    assert run.value("nothing") is None
    assert run.value("state") is None


def test_read_run_reports_damaged_files_as_errors(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "config.yaml").write_text("a: [")
    (folder / "manifest.json").write_text('{"state": "runn')
    (folder / "summary.json").write_text("[]")
    (folder / "metrics.jsonl").write_bytes(b"\xff\xfe\n")
    run = read_run(folder)
    damaged = [error.partition(":")[0] for error in run.errors]
    damaged_trees = [f"{name} is damaged" for name in ("manifest.json", "config.yaml", "summary.json")]
    assert damaged == [*damaged_trees, "metrics.jsonl"]
    assert (run.state, run.seed, run.settings) == ("unknown", None, {})


@pytest.mark.parametrize("number", [1.7e308, -1e151, 10**300])
def test_read_run_counts_numbers_whose_squares_overflow_as_not_finite(tmp_path: Path, number: float) -> None:
    records = [{"source": "interaction", "environment_step": step, "interaction/x": number} for step in range(3)]
    run = read_run(write_run(tmp_path / "run", summary={"interaction/x": number, "y": 1e150}, records=records))
    assert math.isnan(run.value("interaction/x") or 0.0)
    assert run.value("y") == 1e150
    assert run.records.series["interaction/x"].not_finite == 3


def test_read_run_executes_no_code_of_a_config(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "config.yaml").write_text(f"!!python/object/apply:os.mkdir [{tmp_path / 'made'}]\n")
    (error,) = read_run(folder).errors
    assert error.startswith("config.yaml is damaged")
    assert not (tmp_path / "made").exists()


def test_read_runs_includes_a_run_without_a_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "overrides.yaml").write_text("- experiment=x\n")
    (run,) = read_runs(find_runs([tmp_path]))
    assert (run.state, run.overrides) == ("unknown", ("experiment=x",))
    assert "no manifest" in run.reason


def test_read_run_reports_the_age_of_the_last_record_of_a_running_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", state="running")
    then = (folder / "metrics.jsonl").stat().st_mtime - 7200
    os.utime(folder / "metrics.jsonl", (then, then))
    assert read_run(folder).reason.startswith("last record 2 h ago")


def test_read_runs_gives_equal_results_in_one_or_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in range(5):
        write_run(tmp_path / str(job), seed=job, summary={"coverage": job / 10})
    monkeypatch.setattr("pamiq_exp.analysis.runs._MANY_BYTES", 0)
    folders = find_runs([tmp_path])
    one, many = read_runs(folders, processes=1), read_runs(folders, processes=2)
    assert (
        [run.value("coverage") for run in many] == [run.value("coverage") for run in one] == [0.0, 0.1, 0.2, 0.3, 0.4]
    )
    assert [run.folder for run in many] == folders
