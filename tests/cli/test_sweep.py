"""Sweeps from the command line: a failed job does not stop the others, and `--resume` completes them."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pamiq_exp.sweeps.folder import is_locked
from tests.cli.sweep_fixtures import read, states, sweep_folder, write_experiment
from tests.conftest import REPOSITORY, Command


@pytest.fixture
def failing(tmp_path: Path) -> list[str]:
    return write_experiment(tmp_path)


def test_sweep_continues_after_failed_jobs_and_resume_completes_them(
    command: Command, failing: list[str], tmp_path: Path
) -> None:
    late = ["interaction.agent.at=18", "interaction.agent.seconds=0.05"]  # after a checkpoint
    once = f"interaction.agent.marker='{tmp_path}/${{interaction.agent.failure}}'"
    words = ["-m", *failing, "interaction.agent.failure=none,error,kill", once, *late]
    first = command(*words)
    assert first.status == 1
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["finished", "failed", "failed"]
    reasons = [read(sweep / str(job) / "manifest.json")["reason"] for job in range(3)]
    assert "failed on purpose" in reasons[1]
    assert reasons[2] == "killed by SIGKILL"
    assert "job 2 failed: killed by SIGKILL" in first.err
    assert "1 of 3 jobs done, 2 failed" in first.out

    status = command("sweep-status", str(sweep))
    assert status.status == 1
    assert "failed on purpose" in status.out
    assert "interaction.agent.failure=kill" in status.out
    assert "1 of 3 jobs done, 2 failed" in status.out

    untouched = (sweep / "0" / "manifest.json").read_bytes()
    again = command(*words, "--resume")
    assert again.status == 0, again.err
    assert sweep_folder(tmp_path) == sweep
    assert states(sweep) == ["finished"] * 3
    assert (sweep / "0" / "manifest.json").read_bytes() == untouched
    assert "going on from step_" in (sweep / "2" / "output.txt").read_text()
    steps = [record["environment_step"] for record in records(sweep / "2")]
    assert steps == sorted(set(steps)), "records of two attempts are mixed"
    assert command("sweep-status", str(sweep)).status == 0


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_sweep_records_the_memory_error_of_a_job(command: Command, failing: list[str], tmp_path: Path) -> None:
    outcome = command("-m", *failing, "interaction.agent.failure=allocation", "launcher.checkpoint.every_steps=null")
    assert outcome.status == 1
    reason = read(sweep_folder(tmp_path) / "0" / "manifest.json")["reason"]
    assert "MemoryError" in reason
    assert "Unable to allocate" in reason


@pytest.mark.slow
def test_sweep_continues_after_a_job_that_runs_out_of_memory(
    command: Command, failing: list[str], tmp_path: Path
) -> None:
    outcome = command("-m", *failing, "interaction.agent.failure=exhaustion,none")
    assert outcome.status == 1
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["failed", "finished"]
    assert "MemoryError" in read(sweep / "0" / "manifest.json")["reason"]
    assert "1 of 2 jobs done, 1 failed" in outcome.out


def test_sweep_reports_a_job_killed_for_lack_of_memory_and_continues(
    command: Command, failing: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = tmp_path / "memory.events"
    monkeypatch.setattr("pamiq_exp.sweeps.worker_process._MEMORY_COUNTERS", (str(counter),))
    once = f"interaction.agent.marker='{counter}'"
    outcome = command("-m", *failing, "interaction.agent.failure=oom_kill,none", once)
    assert outcome.status == 1
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["failed", "finished"]
    assert read(sweep / "0" / "manifest.json")["reason"] == "killed by SIGKILL: out of memory"
    assert command("-m", *failing, "interaction.agent.failure=oom_kill,none", once, "--resume").status == 0
    assert states(sweep) == ["finished", "finished"]


def test_sweep_resume_begins_a_new_sweep_with_a_folder_for_each_job(
    command: Command, failing: list[str], tmp_path: Path
) -> None:
    words = ("-m", *failing, "launcher.max_steps=4", "seed=4,5", "--resume")
    outcome = command(*words)
    assert outcome.status == 0, outcome.err
    assert "there is no sweep of this command in" in outcome.err
    assert "job 1 finished" in outcome.err
    assert "2 of 2 jobs done" in outcome.out
    sweep = sweep_folder(tmp_path)
    plan = read(sweep / "sweep.json")
    assert [job[-1] for job in plan["jobs"]] == ["seed=4", "seed=5"]
    for job, seed in ((0, 4), (1, 5)):
        manifest = read(sweep / str(job) / "manifest.json")
        assert (manifest["seed"], manifest["state"]) == (seed, "finished")
        assert manifest["command"] == plan["command"]
        assert yaml.safe_load((sweep / str(job) / "overrides.yaml").read_text())[-1] == f"seed={seed}"

    again = command(*words)
    assert again.status == 0, again.err
    assert sweep_folder(tmp_path) == sweep
    other = command(*words[:-2], "seed=4,6", f"hydra.sweep.dir={sweep}", "--resume")
    assert other.status == 2
    assert "holds a sweep of other words" in other.err


def test_sweep_refuses_the_folder_of_a_single_run(command: Command, failing: list[str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json").write_text("{}")
    outcome = command("-m", *failing, "seed=0,1", f"hydra.sweep.dir={tmp_path}/run")
    assert outcome.status == 2
    assert "holds a single run" in outcome.err


def test_sweep_refuses_a_folder_that_holds_a_sweep(command: Command, failing: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "sweep.json").write_text("{}")
    outcome = command("-m", *failing, "seed=0,1", f"hydra.sweep.dir={tmp_path}/mine")
    assert outcome.status == 2
    assert "holds a sweep already" in outcome.err


def test_sweep_status_refuses_a_folder_without_a_sweep(command: Command, tmp_path: Path) -> None:
    outcome = command("sweep-status", str(tmp_path))
    assert outcome.status == 2
    assert "is no sweep" in outcome.err


def start(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start the program in a process of its own, as a terminal does: it leads a group of processes."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    program = subprocess.Popen(
        [sys.executable, "-m", "pamiq_exp", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    atexit.register(program.kill)  # a test that fails leaves nothing behind
    return program


def wait_for(condition: Callable[[], object], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_sweep_ended_by_a_signal_can_be_resumed_without_losing_records(
    ending: signal.Signals, command: Command, failing: list[str], tmp_path: Path
) -> None:
    slow = ["-m", *failing, "seed=0,1", "interaction.agent.seconds=0.05", "launcher.max_steps=100"]
    program = start(slow, tmp_path)
    wait_for(lambda: any((tmp_path / "outputs").rglob("0/metrics.jsonl")))
    sweep = sweep_folder(tmp_path)
    job = sweep / "0"
    wait_for(lambda: len(records(job)) > 20)
    program.send_signal(ending)
    out, _ = program.communicate(timeout=120)
    assert program.returncode == (-signal.SIGKILL if ending == signal.SIGKILL else 128 + ending), out.decode()
    wait_for(lambda: not is_locked(job))
    assert states(sweep)[0] == "stopped"
    assert not (sweep / "1" / "manifest.json").exists()
    assert command("sweep-status", str(sweep)).status == 1
    outcome = command(*slow, "--resume")
    assert outcome.status == 0, outcome.err
    assert states(sweep) == ["finished", "finished"]
    steps = [record["environment_step"] for record in records(job)]
    assert steps == list(range(1, 101))
    assert len(read(job / "manifest.json")["sessions"]) == 1


@pytest.mark.slow
def test_sweep_stops_pruned_jobs_and_skips_those_not_begun(failing: list[str], tmp_path: Path) -> None:
    program = start(["-m", *failing, "seed=0,1", "interaction.agent.seconds=0.3", "launcher.max_steps=60"], tmp_path)
    wait_for(lambda: any((tmp_path / "outputs").rglob("0/metrics.jsonl")))
    sweep = sweep_folder(tmp_path)
    (sweep / "1").mkdir(exist_ok=True)
    for job in range(2):
        (sweep / str(job) / "prune.json").write_text('{"reason": "others do better"}')
    out, _ = program.communicate(timeout=120)
    assert program.returncode == 0, out.decode()
    manifest = read(sweep / "0" / "manifest.json")
    assert (manifest["state"], manifest["reason"]) == ("stopped", "others do better")
    assert not (sweep / "1" / "manifest.json").exists()
    assert b"2 of 2 jobs done, 2 pruned" in out


def test_sweep_reports_how_to_install_a_missing_executor(
    command: Command, failing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pamiq_exp.sweeps.sweep._is_installed", lambda module: False)
    outcome = command("-m", *failing, "hydra/launcher=ray", "seed=0,1")
    assert outcome.status == 2
    assert "ray needs the package ray, which is not installed" in outcome.err
    assert "pip install 'pamiq_exp[ray]'" in outcome.err
