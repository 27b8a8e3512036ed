"""`hydra/sweeper=search`: a search for good settings with Optuna, instead of trying every combination."""

# No postponed annotations: Hydra runs this module before it is known to sys.modules, where dataclasses would look.
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, List, Optional  # noqa: UP035 - OmegaConf reads the annotations

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SearchConf:
    """Settings below `hydra.sweeper`.

    Attributes:
        metric: The final metric (of `summary.json`) that is optimized.
        direction: `maximize` or `minimize`.
        trials: How many settings are tried in all, those of earlier and other processes included.
        seeds: A trial is run with each of these, and its value is the mean. Empty: once, with the config's own seed.
        at_once: How many trials are handed to the launcher together.
        sampler: `tpe` or `random`.
        sampler_seed: Makes what is tried repeatable, as far as the results are.
        pruner: `none`, `median` or `hyperband`: ends trials early that do worse than others did at the same point.
        prune_by: The recorded metric that decides, such as `interaction/coverage`.
        study: Name of the study; the same name in the same storage goes on with it.
        storage: Address of a database (as SQLAlchemy writes it); null is a file in the sweep's folder.
    """

    _target_: str = "hydra_plugins.pamiq_exp_sweeps.search_sweeper.SearchSweeper"
    metric: Optional[str] = None  # noqa: UP045
    direction: str = "maximize"
    trials: int = 20
    seeds: List[int] = field(default_factory=list)  # noqa: UP006
    at_once: int = 1
    sampler: str = "tpe"
    sampler_seed: int = 0
    pruner: str = "none"
    prune_by: Optional[str] = None  # noqa: UP045
    study: str = "search"
    storage: Optional[str] = None  # noqa: UP045


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchConf, provider="pamiq_exp")


class SearchSweeper(Sweeper):
    """Search with Optuna: ask for settings, run them with the launcher, report the results."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config = config
        self.hydra_context = hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: Sequence[str]) -> None:
        from pamiq_exp.sweeps.search import search

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.launcher is not None
        search(self.settings, arguments, self.config, self.hydra_context, self.launcher)
