"""The state of the jobs in a sweep folder, and its display."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pamiq_exp.run_folder.reader import last_record
from pamiq_exp.sweeps.folder import Plan, SweepError, SweepFolder, is_locked, locked
from pamiq_exp.sweeps.view import SweepView, Watcher, jobs_table


def write_sweep(folder: Path, jobs: int = 6) -> Path:
    """Write a sweep with a job in each state."""
    words = [("experiment=study", f"rate={0.1 * (job + 1):.1f}", f"seed={job}") for job in range(jobs)]
    Plan(("-m",), ("python",), "study", tuple(words), jobs).write(folder)
    write_job(folder / "0", {"state": "finished"}, {"coverage": 0.25, "return_mean": 9.0})
    write_job(folder / "1", {"state": "finished"}, {"coverage": 0.75})
    write_job(folder / "2", {"state": "failed", "reason": "killed by SIGKILL: out of memory"})
    write_job(folder / "3", {"state": "running"})
    write_job(folder / "4", {"state": "stopped", "reason": "SIGTERM"})
    record = {"environment_step": 25, "wall_seconds": 3.0}
    (folder / "4" / "metrics.jsonl").write_text(json.dumps(record) + "\n" + '{"environment_st')
    (folder / "4" / "config.yaml").write_text("launcher: {max_steps: 100}\n")
    return folder


def write_job(folder: Path, manifest: dict[str, Any], summary: dict[str, Any] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary))


def test_sweep_folder_determines_the_state_of_each_job(tmp_path: Path) -> None:
    jobs = SweepFolder(write_sweep(tmp_path)).jobs()
    assert [job.state for job in jobs] == ["finished", "finished", "failed", "lost", "stopped", "waiting"]
    assert jobs[2].reason == "killed by SIGKILL: out of memory"
    assert "gone without a word" in jobs[3].reason
    assert jobs[4].fraction == 0.25
    assert jobs[5].overrides[-1] == "seed=5"


def test_sweep_folder_reports_a_job_as_running_while_its_lock_is_held(tmp_path: Path) -> None:
    folder = SweepFolder(write_sweep(tmp_path))
    with locked(tmp_path / "3" / "job.lock") as held:
        assert held is not None
        with locked(tmp_path / "3" / "job.lock") as second:
            assert second is None
        assert is_locked(tmp_path / "3")
        assert folder.jobs()[3].state == "running"
    assert folder.jobs()[3].state == "lost"


def test_sweep_view_shows_counts_best_job_and_time_left(tmp_path: Path) -> None:
    folder = SweepFolder(write_sweep(tmp_path))
    view = SweepView(folder.plan, "study")
    view.update(folder.jobs()[:1])
    assert view.seconds_left() is None, "no job has ended since the view began"
    view.update(folder.jobs())
    best = view.best()
    assert best is not None
    assert (best[0].number, best[1], best[2]) == (1, "coverage", 0.75)
    assert view.seconds_left() is not None
    assert view.line().startswith("2 of 6 jobs done, 1 waiting, 1 stopped, 1 failed, 1 lost")
    text = shown(view)
    for words in ("2 of 6 jobs", "✓ finished", "✗ failed", "best", "0.75", "rate=0.2", "out of memory", "study"):
        assert words in text
    assert "experiment=study" not in text, "overrides that all jobs share are not shown"


def shown(view: SweepView) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view.panel())
    console.print(jobs_table(view))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_sweep_view_of_a_minimizing_search_shows_the_lowest_metric(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    view = SweepView(Plan((), (), "study", (), 6, metric="coverage", minimize=True), "study")
    view.update(SweepFolder(tmp_path).jobs())
    best = view.best()
    assert best is not None
    assert best[2] == 0.25


def test_watcher_without_a_terminal_prints_a_line_for_each_ended_job(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    with Watcher(tmp_path, console):
        write_job(tmp_path / "5", {"state": "failed", "reason": "failed on purpose"})
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "job 5 failed: failed on purpose" in text
    assert "job 0" not in text, "it had ended before"


def test_last_record_skips_an_incomplete_line_and_sweep_folder_refuses_a_broken_plan(tmp_path: Path) -> None:
    assert last_record(tmp_path / "nothing") == {}
    write_sweep(tmp_path)
    assert last_record(tmp_path / "4")["environment_step"] == 25
    (tmp_path / "sweep.json").write_text('{"schema": 1, "jobs": 3}')
    with pytest.raises(SweepError, match="cannot be read"):
        SweepFolder(tmp_path)
