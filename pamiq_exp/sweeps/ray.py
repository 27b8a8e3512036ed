"""What the Ray launcher does; apart, because Hydra imports every plugin whenever it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from hydra_plugins.pamiq_exp_sweeps.ray_launcher import RayLauncher
from pamiq_exp.ray_cluster import connect
from pamiq_exp.sweeps.folder import job_state
from pamiq_exp.sweeps.worker_process import note_end


def launch(launcher: RayLauncher, job_overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
    """Run jobs on the cluster and return what became of each, in order."""
    assert launcher.config is not None
    assert launcher.hydra_context is not None
    assert launcher.task_function is not None
    setup_globals()
    if not ray.is_initialized():
        connect(ray, address=launcher.address, include_dashboard=None if launcher.address else False)
    task = ray.remote(_run).options(num_cpus=launcher.cpus, num_gpus=launcher.gpus, max_retries=launcher.retries)
    shared = ray.put((launcher.hydra_context, launcher.task_function, Singleton.get_state()))
    pending = []
    for number, overrides in enumerate(job_overrides, start=first):
        config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        folder = Path(str(config.hydra.sweep.dir)) / str(config.hydra.sweep.subdir)
        pending.append((task.remote(shared, config), folder))
    return [_outcome(reference, folder) for reference, folder in pending]


def _run(shared: tuple[HydraContext, TaskFunction, Any], config: DictConfig) -> JobReturn:
    context, task_function, state = shared
    setup_globals()
    Singleton.set_state(state)
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=context,
        task_function=task_function,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _outcome(reference: Any, folder: Path) -> JobReturn:
    """Wait for a job; one whose machine was lost is marked, and the others are waited for all the same."""
    try:
        result: JobReturn = ray.get(reference)
    except ray.exceptions.RayError as error:
        state, _ = job_state(folder)
        if state in ("waiting", "lost"):
            note_end(folder, "failed", f"lost by Ray: {str(error).strip().splitlines()[0]}")
        result = JobReturn(status=JobStatus.COMPLETED)
        result.return_value = 1
    return result
