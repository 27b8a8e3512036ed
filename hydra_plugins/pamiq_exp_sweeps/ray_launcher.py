"""`hydra/launcher=ray`: the jobs of a sweep on a Ray cluster."""

# No postponed annotations: Hydra runs this module before it is known to sys.modules, where dataclasses would look.
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class RayLauncherConf:
    """Settings below `hydra.launcher`.

    Attributes:
        address: A running cluster, or `auto` to find it; null starts Ray on this machine alone.
        cpus, gpus: What each job is given.
        retries: How often a job is begun again when its machine is lost; it goes on from its checkpoint.
    """

    _target_: str = "hydra_plugins.pamiq_exp_sweeps.ray_launcher.RayLauncher"
    address: Optional[str] = None  # noqa: UP045 - OmegaConf reads the annotation
    cpus: float = 1
    gpus: float = 0
    retries: int = 2


ConfigStore.instance().store(group="hydra/launcher", name="ray", node=RayLauncherConf, provider="pamiq_exp")


class RayLauncher(Launcher):
    """Runs each job as a Ray task. A job that is lost costs only itself."""

    def __init__(self, address: str | None, cpus: float, gpus: float, retries: int) -> None:
        self.address = address
        self.cpus = cpus
        self.gpus = gpus
        self.retries = retries
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.task_function = task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from pamiq_exp.sweeps.ray import launch

        return launch(self, job_overrides, initial_job_idx)
