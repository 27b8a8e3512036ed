"""The launchers: several jobs at once, on one machine and on many, each costing only itself."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pamiq_exp.cli._sweep_folder import is_locked, last_record
from tests.cli.sweep_fixtures import read, states, sweep_folder, write_experiment
from tests.cli.test_sweep import start, wait_for
from tests.conftest import Outcome
from tests.tracking.test_wandb_tracker import wandb_records

Command = Callable[..., Outcome]


@pytest.fixture
def unlucky(tmp_path: Path) -> list[str]:
    return write_experiment(tmp_path)


def test_joblib_runs_two_jobs_at_once_that_do_not_fight_and_survive_each_other(
    command: Command, unlucky: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra [sweep]")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "interaction.agent.luck=kill,good"]
    outcome = command("-m", *unlucky, *words, "interaction.agent.at=18", "interaction.agent.seconds=0.05")
    assert outcome.status == 1
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["failed", "finished"]
    assert read(sweep / "0" / "manifest.json")["reason"] == "killed by SIGKILL"
    cores = len(os.sched_getaffinity(0))
    assert read(sweep / "1" / "summary.json")["threads"] == max(1, cores // 2)
    started = [read(sweep / str(job) / "manifest.json")["started"] for job in range(2)]
    ended = [read(sweep / str(job) / "manifest.json")["ended"] for job in range(2)]
    assert max(started) < min(ended), "they did not run at the same time"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_joblib_is_faster_than_one_after_the_other(command: Command) -> None:
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
def test_a_preempted_job_of_submitit_saves_is_requeued_and_goes_on(unlucky: list[str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs the extra [sweep]")
    words = ["-m", *unlucky, "hydra/launcher=submitit_local", "interaction.agent.luck=good,fail"]
    words += ["interaction.agent.seconds=0.4", "launcher.max_steps=80", "interaction.agent.at=30"]
    program = start([*words], tmp_path)
    wait_for(lambda: any((tmp_path / "outputs").rglob("0/metrics.jsonl")))
    sweep = sweep_folder(tmp_path)
    wait_for(lambda: last_record(sweep / "0" / "metrics.jsonl").get("environment_step", 0) > 10)
    (task,) = [pid for pid in processes("submitit.core._submit") if holds(pid, sweep / "0" / "job.lock")]
    os.kill(task, signal.SIGUSR2)  # what Slurm sends before it takes the machine away
    out, _ = program.communicate(timeout=200)
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
@pytest.mark.timeout(600)
def test_ray_spreads_jobs_over_two_machines_and_a_lost_job_costs_only_itself(
    command: Command, unlucky: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    try:
        words = ["hydra/launcher=ray", f"hydra.launcher.address={cluster.address}"]
        outcome = command(
            "-m", *unlucky, *words, "interaction.agent.luck=good,kill,good", "interaction.agent.seconds=0.1"
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

        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_each_job_is_one_run_of_wandb_in_the_group_of_the_sweep_with_its_own_end(
    launcher: str, command: Command, unlucky: list[str], tmp_path: Path
) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra [sweep]")
    words = ["tracking=default", "tracking.terminal=null", "tracking.wandb.mode=offline", f"hydra/launcher={launcher}"]
    words += ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []
    assert command("-m", *unlucky, *words, "interaction.agent.luck=good,fail").status == 1
    sweep = sweep_folder(tmp_path)
    ids = set()
    for job, code in ((0, 0), (1, 1)):
        records = {record.WhichOneof("record_type"): record for record in wandb_records(sweep / str(job))}
        assert records["run"].run.run_group == sweep.name
        assert records["run"].run.display_name == f"{sweep.name}_{job}"
        assert records["exit"].exit.exit_code == code
        ids.add(records["run"].run.run_id)
    assert len(ids) == 2
