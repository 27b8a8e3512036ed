from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.analysis.folders import write_run, write_study
from tests.conftest import Command


def test_report_writes_a_page_and_figures_for_a_sweep(command: Command, tmp_path: Path) -> None:
    write_study(tmp_path / "sweep", arms={"random": 0.2, "rnd": 0.5}, worlds=["clean"], seeds=2)
    outcome = command(
        "report", "sweep", "-o", "out", "--metric", "coverage", "--curve", "dynamics/loss", "--axis", "training_step"
    )
    assert outcome.status == 0, outcome.err
    assert outcome.out == "4 runs, 4 finished: out/report.html\n"
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert (
        (tmp_path / "out" / "figures" / "curve_dynamics_loss_over_training_step.pdf").read_bytes().startswith(b"%PDF")
    )


def test_report_reads_a_table_of_final_metrics_beside_run_folders(command: Command, tmp_path: Path) -> None:
    write_study(tmp_path / "sweep", arms={"random": 0.2, "rnd": 0.5}, worlds=["clean"], seeds=2)
    (tmp_path / "older.csv").write_text("reward,seed,coverage\nicm,0,0.3\nicm,1,0.4\n")
    outcome = command("report", "older.csv", "sweep", "-o", "out", "--metric", "coverage", "--arm", "reward")
    assert outcome.status == 0, outcome.err
    assert outcome.out == "6 runs, 6 finished: out/report.html\n"
    table = (tmp_path / "out" / "tables" / "results.md").read_text()
    assert all(arm in table for arm in ("icm", "rnd", "random"))


def test_report_refuses_unusable_input_with_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "run")
    (tmp_path / "run" / "table.csv").write_text("a,b\n1,2\n")
    for words, message in (
        (["nowhere", "-o", "out"], "there is no nowhere"),
        (["empty", "-o", "out"], "no run in empty"),
        (["no.csv", "-o", "out"], "there is no no.csv"),
        (["run/table.csv", "-o", "out"], "run/table.csv is no table of runs"),
        (["run", "-o", "run/config.yaml"], "run/config.yaml is a file"),
        (["run", "-o", "out", "--metric", "nothing"], "no finished run has the metric 'nothing'"),
        (["run", "-o", "out", "--task", "nothing"], "no run has a setting 'nothing'"),
    ):
        outcome = command("report", *words)
        assert outcome.status == 2, words
        (line,) = [line for line in outcome.err.splitlines() if not line.startswith("reading")]
        assert message in line
        assert not (tmp_path / "out").exists(), words


def test_report_prints_its_usage_for_an_invalid_command_line(command: Command) -> None:
    for words in ([], ["run"], ["run", "-o", "out", "--resamples", "0"], ["run", "-o", "out", "--nothing"]):
        outcome = command("report", *words)
        assert outcome.status == 2, words
        assert "usage: python -m pamiq_exp report" in outcome.err


def test_report_imports_no_torch_lightning_wandb_or_hydra() -> None:
    code = "import sys, pamiq_exp.cli.report; print({'torch', 'lightning', 'wandb', 'hydra'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
