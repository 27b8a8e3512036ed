"""The launchers: several jobs at once, on one machine and on many; a failed job does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pamiq_exp.run_folder.reader import last_record
from pamiq_exp.sweeps.folder import is_locked, jobs_at_work
from tests.cli.sweep_fixtures import read, states, sweep_folder, write_experiment
from tests.cli.test_sweep import start, wait_for
from tests.conftest import Command
from tests.tracking.test_wandb_tracker import wandb_records

LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local"],
    "ray": ["hydra/launcher=ray", "hydra.launcher.cpus=0.5"],
}
PACKAGES = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "ray": "ray",
}


def launched_by(launcher: str) -> list[str]:
    """Return the words that choose a launcher; skips the test if it is not installed."""
    if launcher in PACKAGES:
        pytest.importorskip(PACKAGES[launcher], reason="needs the extra [sweep]")
    return LAUNCHERS[launcher]


def steps_recorded(job: Path) -> list[int]:
    return [record["environment_step"] for record in map(json.loads, (job / "metrics.jsonl").read_text().splitlines())]


@pytest.fixture
def failing(tmp_path: Path) -> list[str]:
    return write_experiment(tmp_path)


def test_launcher_joblib_runs_jobs_in_parallel_and_survives_a_killed_job(
    command: Command, failing: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra [sweep]")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "meeting").mkdir()
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "interaction.agent.failure=kill,none"]
    words += ["interaction.agent.at=18", f"interaction.agent.meeting={tmp_path}/meeting"]
    outcome = command("-m", *failing, *words)
    assert outcome.status == 1
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["failed", "finished"]
    assert read(sweep / "0" / "manifest.json")["reason"] == "killed by SIGKILL"
    cores = len(os.sched_getaffinity(0))
    assert read(sweep / "1" / "summary.json")["threads"] == max(1, cores // 2)
    assert len(list((tmp_path / "meeting").iterdir())) == 2, "they did not run at the same time"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_launcher_joblib_is_faster_than_basic(command: Command) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra [sweep]")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    words = ["-m", "experiment=cartpole_ppo", "tracking=jsonl_only", "launcher.max_steps=24000", "seed=0,1,2,3"]
    seconds = []
    for launcher in (["hydra/launcher=basic"], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]):
        begun = time.perf_counter()
        assert command(*words, *launcher).status == 0
        seconds.append(time.perf_counter() - begun)
    print(f"one after the other {seconds[0]:.1f} s, two at once {seconds[1]:.1f} s")
    assert seconds[1] < 0.85 * seconds[0]


@pytest.mark.slow
def test_launcher_submitit_resumes_a_preempted_job_from_its_checkpoint(failing: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra [sweep]")
    words = ["-m", *failing, "hydra/launcher=submitit_local", "interaction.agent.failure=none,error"]
    words += ["interaction.agent.seconds=0.4", "launcher.max_steps=80", "interaction.agent.at=30"]
    program = start([*words], tmp_path)
    wait_for(lambda: any((tmp_path / "outputs").rglob("0/metrics.jsonl")))
    sweep = sweep_folder(tmp_path)
    wait_for(lambda: last_record(sweep / "0").get("environment_step", 0) > 10)
    (task,) = [pid for pid in processes("submitit.core._submit") if holds(pid, sweep / "0" / "job.lock")]
    os.kill(task, signal.SIGUSR2)  # what Slurm sends before it takes the machine away
    out, _ = program.communicate(timeout=600)
    assert program.returncode == 1, out.decode()
    assert states(sweep) == ["finished", "failed"]
    sessions = read(sweep / "0" / "manifest.json")["sessions"]
    assert [session["state"] for session in sessions] == ["stopped"]
    assert "going on from step_" in (sweep / "0" / "output.txt").read_text()
    assert not is_locked(sweep / "0")


def processes(word: str) -> Iterator[int]:
    """Yield the processes that have a word on their command line."""
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and word.encode() in (path / "cmdline").read_bytes():
                yield int(path.name)


def holds(pid: int, path: Path) -> bool:
    try:
        return any(Path(f"/proc/{pid}/fd/{name}").resolve() == path for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_launcher_ray_runs_jobs_on_two_machines_and_survives_a_killed_job(
    command: Command, failing: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        words = ["hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"]
        outcome = command(
            "-m", *failing, *words, "interaction.agent.failure=none,kill,none", "interaction.agent.seconds=0.1"
        )
        assert outcome.status == 1, outcome.err
        sweep = sweep_folder(tmp_path)
        assert states(sweep) == ["finished", "failed", "finished"]
        assert read(sweep / "1" / "manifest.json")["reason"] == "killed by SIGKILL"
        started = [read(sweep / str(job) / "manifest.json")["started"] for job in range(3)]
        ended = [read(sweep / str(job) / "manifest.json")["ended"] for job in range(3)]
        overlap = any(started[a] < ended[b] and started[b] < ended[a] for a in range(3) for b in range(a))
        assert overlap, "they ran one after the other"
    finally:
        import ray

        ray.shutdown()  # type: ignore[no-untyped-call]
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_launcher_resumes_killed_jobs_from_their_checkpoints(launcher: str, failing: list[str], tmp_path: Path) -> None:
    words = ["-m", *failing, *launched_by(launcher), "interaction.agent.failure=none,kill", "interaction.agent.at=18"]
    words += [f"interaction.agent.marker='{tmp_path}/killed'"]
    program = start(words, tmp_path)
    out, _ = program.communicate(timeout=600)
    assert program.returncode == 1, out.decode()
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["finished", "failed"]
    assert read(sweep / "1" / "manifest.json")["reason"] == "killed by SIGKILL"
    untouched = (sweep / "0" / "manifest.json").read_bytes()

    again = start([*words, "--resume"], tmp_path)
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0, out.decode()
    assert states(sweep) == ["finished", "finished"]
    assert (sweep / "0" / "manifest.json").read_bytes() == untouched
    assert "going on from step_000000015" in (sweep / "1" / "output.txt").read_text()
    steps = steps_recorded(sweep / "1")  # records less than a second old were lost
    assert steps == sorted(set(steps))
    assert steps[-5:] == [16, 17, 18, 19, 20]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("ending", ["SIGTERM", "Ctrl-C", "SIGKILL"])
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_launcher_saves_and_resumes_the_jobs_of_an_interrupted_sweep(
    launcher: str, ending: str, command: Command, failing: list[str], tmp_path: Path
) -> None:
    words = ["-m", *failing, *launched_by(launcher), "seed=range(0,3)", "launcher.checkpoint.every_steps=1000"]
    words += ["interaction.agent.seconds=0.1", "launcher.max_steps=150"]
    program = start(words, tmp_path)
    wait_for(lambda: len(list((tmp_path / "outputs").rglob("[01]/metrics.jsonl"))) == 2)
    sweep = sweep_folder(tmp_path)
    wait_for(lambda: all(last_record(sweep / job).get("environment_step", 0) > 5 for job in "01"))
    if ending == "Ctrl-C":
        os.killpg(program.pid, signal.SIGINT)  # a terminal signals the whole group
    else:
        program.send_signal(signal.Signals[ending])
    out, _ = program.communicate(timeout=600)
    assert program.returncode == {"SIGTERM": 143, "Ctrl-C": 130, "SIGKILL": -9}[ending], out.decode()
    if ending != "SIGKILL":
        assert not jobs_at_work(sweep)
    submitted = (launcher, ending) == ("submitit_local", "SIGKILL")  # they continue, as those of a cluster do
    if not submitted:
        wait_for(lambda: not jobs_at_work(sweep))
        assert set(states(sweep)) == {"stopped"}
        assert (len(states(sweep)) == 2) or launcher != "joblib", "a job was begun after the stop"

    again = start([*words, "--resume"], tmp_path)
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0, out.decode()
    assert states(sweep) == ["finished"] * 3
    for job in range(3):
        assert steps_recorded(sweep / str(job)) == list(range(1, 151))
        assert len(read(sweep / str(job) / "manifest.json").get("sessions", [])) <= 1 - submitted
    assert command("sweep-status", str(sweep)).status == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "ray"])
def test_launcher_gives_each_job_its_own_wandb_run_in_the_group_of_the_sweep(
    launcher: str, failing: list[str], tmp_path: Path
) -> None:
    words = ["-m", *failing, *launched_by(launcher), "interaction.agent.failure=none,error"]
    words += ["tracking=default", "tracking.terminal=null", "tracking.wandb.mode=offline"]
    program = start(words, tmp_path)
    out, _ = program.communicate(timeout=600)
    assert program.returncode == 1, out.decode()
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["finished", "failed"], out.decode()
    ids = set()
    for job, code in ((0, 0), (1, 1)):
        records = {record.WhichOneof("record_type"): record for record in wandb_records(sweep / str(job))}
        assert records["run"].run.run_group == sweep.name
        assert records["run"].run.display_name == f"{sweep.name}_{job}"
        assert records["exit"].exit.exit_code == code
        ids.add(records["run"].run.run_id)
    assert len(ids) == 2
