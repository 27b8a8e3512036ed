"""Where the parts of a run are: in this process, or in processes of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from pamiq_exp.config import ConfigError, Experiment, Validated, build_experiment
from pamiq_exp.config.blueprint import ConfigBlueprint
from pamiq_exp.config.checks.dataclasses import error_of
from pamiq_exp.ray_cluster import ClusterError

if TYPE_CHECKING:
    from pamiq_exp.runtime import Summary

Launch: TypeAlias = "Callable[..., Summary]"
"""Launches the experiment; takes the arguments of `pamiq_exp.runtime.launch` after its parts."""


@contextmanager
def placed(validated: Validated) -> Iterator[tuple[Experiment, Launch]]:
    """Build an experiment where `launcher.learner` says, and return what launches it.

    Raises:
        ConfigError: It cannot be built, or the cluster cannot be used.
    """
    launcher = validated.composed.resolved.tree.get("launcher") or {}
    if launcher.get("learner") != "ray":
        from pamiq_exp.runtime import launch

        experiment = build_experiment(validated)
        parts = experiment.interaction, experiment.models, experiment.buffers, experiment.trainers
        yield experiment, partial(launch, *parts, experiment.launch_config)
        return
    from pamiq_exp.runtime.cluster.blueprint import DescribedEnvironment
    from pamiq_exp.runtime.cluster.driver import on_cluster

    blueprint = ConfigBlueprint.of(validated)
    try:
        with on_cluster(blueprint) as processes:
            environment = DescribedEnvironment(processes.description)
            experiment = build_experiment(validated, groups=["tracking"], environment=environment)
            yield experiment, partial(processes.launch, blueprint.launch_config)
    except ClusterError as error:
        raise ConfigError(error_of(str(error), "launcher.cluster")) from error
