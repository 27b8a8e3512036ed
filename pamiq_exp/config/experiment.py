"""From a composed config to the parts of a run, in the one order in which they can be built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pamiq_exp.config.build import Builder, seeded
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.dataclasses import read_dataclass
from pamiq_exp.config.checks.static import part_errors, static_errors
from pamiq_exp.config.compose import Composed
from pamiq_exp.config.dry_run import Validated
from pamiq_exp.config.environment import begin
from pamiq_exp.config.errors import ConfigError, ErrorDetail
from pamiq_exp.config.interaction_wrappers import without_wrappers
from pamiq_exp.config.tree_paths import join, mappings, parts_of

if TYPE_CHECKING:
    from pamiq_exp.runtime import LaunchConfig


GROUPS = ("models", "buffers", "metrics", "trainers", "tracking")
"""Groups of named parts."""


@dataclass(frozen=True)
class Experiment:
    """Everything that `launch` takes.

    Attributes:
        name: `experiment_name`.
        seed: The root seed.
        config: The config as a run folder keeps it: with `spaces`, and interpolations resolved.
        interaction, models, buffers, trainers, trackers, launch_config: The arguments of `launch`.
    """

    name: str
    seed: int
    config: dict[str, Any]
    interaction: Any
    models: dict[str, Any]
    buffers: dict[str, Any]
    trainers: dict[str, Any]
    trackers: dict[str, Any]
    launch_config: LaunchConfig


def build_experiment(
    config: DictConfig | Validated,
    allow: AllowList = AllowList(),
    *,
    groups: Collection[str] = GROUPS,
    measures: Collection[str] | None = None,
    environment: Any = None,
) -> Experiment:
    """Build the parts of a config: those of a validated one as it was validated, or of one that was made in Python.

    The environment comes first and its spaces are put into the config, so that all other parts can read shapes
    from it: `${spaces.observation.image.shape}`. Each model is initialized from a random stream of its own.

    Args:
        config: The config.
        allow: What it may name, where it was made in Python.
        groups: Which groups of parts are built besides environment and interaction.
        measures: Targets of the metrics that are built; None: all.
        environment: Takes the place of the one that the config describes, which is not built then.

    Raises:
        ConfigError: With all errors, before anything is built where that is possible.
    """
    from pamiq_exp.component import torn_down_on_error
    from pamiq_exp.runtime import LaunchConfig

    if isinstance(config, DictConfig):
        composed, validated = Composed.of_config(config), None
        if errors := static_errors(composed, allow) or part_errors(composed, allow):
            raise ConfigError(errors)
    else:
        composed, validated, allow = config.composed, config, config.allow
    builder = Builder(allow)
    begun = begin(composed, builder, environment)
    with torn_down_on_error(begun.environment):
        if validated is not None and validated.tree and validated.tree["spaces"] != begun.tree["spaces"]:
            message = "shows or accepts something else than when it was checked, a moment ago"
            raise ConfigError(ErrorDetail("environment", message, "let its spaces depend on its arguments alone"))
        launch_config = read_dataclass(LaunchConfig, begun.tree["launcher"], "launcher")
        return _build_parts(builder, begun.environment, begun.tree, launch_config, groups, measures)


def _build_parts(
    builder: Builder,
    environment: Any,
    tree: dict[str, Any],
    launch_config: LaunchConfig,
    groups: Collection[str],
    measures: Collection[str] | None,
) -> Experiment:
    models = {}
    for name, node in _nodes(tree, "models", groups):
        with seeded(tree["seed"], join("models", name)):
            models[name] = builder.build(node, join("models", name))
    buffers, metrics, trainers, trackers = (
        {
            name: builder.build(node, join(group, name))
            for name, node in parts_of(tree, group).items()
            if group in groups and (group != "metrics" or measures is None or node.get("_target_") in measures)
        }
        for group in ("buffers", "metrics", "trainers", "tracking")
    )
    from pamiq_exp.runtime.observers import is_observer

    # Recorders are set up where records are, but what they record they see for themselves, like metrics.
    recorders = {name: part for name, part in trackers.items() if is_observer(part)}
    twice = sorted(recorders.keys() & metrics.keys())
    if twice:
        raise ConfigError(ErrorDetail(f"tracking.{twice[0]}", "is the name of a metric, too", "rename one of them"))
    given = {"environment": environment, "observers": {**metrics, **recorders}}
    return Experiment(
        name=tree["experiment_name"],
        seed=tree["seed"],
        config=tree,
        interaction=builder.build(without_wrappers(tree["interaction"]), "interaction", given),
        models=models,
        buffers=buffers,
        trainers=trainers,
        trackers={name: part for name, part in trackers.items() if name not in recorders},
        launch_config=launch_config,
    )


def _nodes(tree: dict[str, Any], group: str, groups: Collection[str]) -> Iterable[tuple[str, Any]]:
    """The named nodes of a group, if it is one of those that are built."""
    return parts_of(tree, group).items() if group in groups else ()


def derived_seeds(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the seed of every part of a resolved config that has one, by its address."""
    found = {key: node["seed"] for key, node in mappings(config) if isinstance(node.get("seed"), int)}
    return {key: seed for key, seed in found.items() if key}
