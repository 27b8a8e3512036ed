"""What other processes build the parts of an experiment from: its config as it is written, and what it may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from pamiq_exp.config.build import Builder
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.dataclasses import read_dataclass
from pamiq_exp.config.dry_run import Validated
from pamiq_exp.config.experiment import Experiment, build_experiment
from pamiq_exp.config.tree_paths import join, parts_of
from pamiq_exp.current_folder import find_packages_here
from pamiq_exp.seeding import derive_seed

if TYPE_CHECKING:
    from pamiq_exp.runtime import LaunchConfig
    from pamiq_exp.runtime.cluster.blueprint import DescribedEnvironment
    from pamiq_exp.runtime.parts import Buffers, Parts


@dataclass(frozen=True)
class ConfigBlueprint:
    """Builds the parts of a validated config in other processes; see `runtime.cluster.blueprint.Blueprint`.

    Attributes:
        tree: The config with its interpolations, as plain data.
        seed: The root seed.
        allow: What it may name.
        launch_config: How the run goes.
    """

    tree: Mapping[str, Any]
    seed: int
    allow: AllowList
    launch_config: LaunchConfig

    @classmethod
    def of(cls, validated: Validated) -> ConfigBlueprint:
        """Take what was validated."""
        from pamiq_exp.runtime import LaunchConfig

        composed = validated.composed
        tree = composed.resolved.tree
        launch_config = read_dataclass(LaunchConfig, tree["launcher"], "launcher")
        return cls(composed.tree, tree["seed"], validated.allow, launch_config)

    def actor_seed(self, name: str) -> int:
        """See `Blueprint.actor_seed`."""
        return derive_seed(self.seed, name)

    def build_actor(self, name: str) -> Parts:
        """See `Blueprint.build_actor`: everything that has a derived seed has another one in each actor."""
        self._find_packages()
        config = OmegaConf.create({**self.tree, "seed": self.actor_seed(name)})
        return _parts_of(build_experiment(config, self.allow))

    def build_learner(self, environment: DescribedEnvironment, actors: int) -> tuple[Parts, Sequence[Buffers]]:
        """See `Blueprint.build_learner`."""
        self._find_packages()
        groups = ("models", "buffers", "trainers")
        config = OmegaConf.create(dict(self.tree))
        experiment = build_experiment(config, self.allow, groups=groups, environment=environment)
        builder = Builder(self.allow)
        nodes = parts_of(experiment.config, "buffers")
        others = [
            {name: builder.build(node, join("buffers", name)) for name, node in nodes.items()}
            for _ in range(actors - 1)
        ]
        return _parts_of(experiment), [experiment.buffers, *others]

    def _find_packages(self) -> None:
        """Find what the user allowed where the run was started, as the run's first process does."""
        if self.allow.trusted:
            find_packages_here()


def _parts_of(experiment: Experiment) -> Parts:
    from pamiq_exp.runtime.parts import Parts

    return Parts(experiment.interaction, experiment.models, experiment.buffers, experiment.trainers)
