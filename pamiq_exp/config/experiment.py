"""From a composed config to the parts of a run, in the one order in which they can be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config.allow_list import AllowList
from pamiq_exp.config.build import Builder
from pamiq_exp.config.ceilings import ceiling_problems
from pamiq_exp.config.check import ENVIRONMENT, check_names, check_parts, resolved
from pamiq_exp.config.delay import with_delay
from pamiq_exp.config.keys import join
from pamiq_exp.config.problems import ConfigError, Problem
from pamiq_exp.config.replicate import expand_replicas
from pamiq_exp.config.resolvers import register_resolvers
from pamiq_exp.config.schema import read_dataclass

if TYPE_CHECKING:
    from pamiq_exp.runtime import LaunchConfig


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


def build_experiment(config: DictConfig, allow: AllowList = AllowList()) -> Experiment:
    """Check a config and build its parts.

    The environment comes first and its spaces are put into the config, so that all other parts can read shapes
    from it: `${spaces.observation.image.shape}`. Each model is initialised from a random stream of its own.

    Raises:
        ConfigError: With every problem that was found, before anything is built where that is possible.
    """
    from pamiq_exp.runtime import LaunchConfig

    register_resolvers()
    config = expand_replicas(without_hydra(config))
    problems = check_names(config, allow) or check_parts(config, allow)
    if problems:
        raise ConfigError(problems)
    launch_config = read_dataclass(LaunchConfig, resolved(config, "launcher"), "launcher")
    builder = Builder(allow)
    environment, tree = begin(config, builder)
    with torn_down_on_error(environment):
        return _build_parts(builder, environment, tree, launch_config)


def _build_parts(builder: Builder, environment: Any, tree: dict[str, Any], launch_config: LaunchConfig) -> Experiment:
    models = {name: _build_model(builder, name, node, tree["seed"]) for name, node in parts_of(tree, "models").items()}
    buffers, metrics, trainers, trackers = (
        {name: builder.build(node, join(group, name)) for name, node in parts_of(tree, group).items()}
        for group in ("buffers", "metrics", "trainers", "tracking")
    )
    # Recorders are set up where records are, but what they record they see for themselves, like metrics.
    recorders = {name: part for name, part in trackers.items() if hasattr(part, "on_step")}
    twice = sorted(recorders.keys() & metrics.keys())
    if twice:
        raise ConfigError(Problem(f"tracking.{twice[0]}", "is the name of a metric, too", "rename one of them"))
    given = {"environment": environment, "observers": {**metrics, **recorders}}
    return Experiment(
        name=tree["experiment_name"],
        seed=tree["seed"],
        config=tree,
        interaction=builder.build(tree["interaction"], "interaction", given),
        models=models,
        buffers=buffers,
        trainers=trainers,
        trackers={name: part for name, part in trackers.items() if name not in recorders},
        launch_config=launch_config,
    )


def begin(config: DictConfig, builder: Builder) -> tuple[Any, dict[str, Any]]:
    """Build the environment, and resolve everything else with its spaces.

    Args:
        config: A config without Hydra's node; it is changed.
        builder: Builds it.

    Returns:
        The environment, and the config as plain data with nothing left to resolve.

    Raises:
        ConfigError: If it cannot be built, is no environment, or an interpolation leads nowhere.
    """
    plain = resolved(config, "environment")
    if problems := list(ceiling_problems({"environment": plain})):
        raise ConfigError(problems)
    config.environment = with_delay(plain, resolved(config, "interaction.delay"))
    environment = builder.build(resolved(config, "environment"), "environment")
    with torn_down_on_error(environment):
        return environment, _resolve(config, plain, environment)


@contextmanager
def torn_down_on_error(part: object) -> Iterator[None]:
    """Tear a part down if what is done with it fails: an environment may hold processes and ports from the start."""
    from pamiq_exp.component import tear_down

    try:
        yield
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            tear_down(part)
        raise


def _resolve(config: DictConfig, plain: Any, environment: Any) -> dict[str, Any]:
    """Return the config as plain data, resolved with the spaces of the environment."""
    config.spaces = describe_environment(environment)
    tree: dict[str, Any] = {}
    problems: list[Problem] = []
    for name in map(str, config):
        try:
            tree[name] = resolved(config, name)
        except ConfigError as error:
            problems += error.problems
    problems += [*ceiling_problems(tree), *_pace_problems(environment, tree)]
    if problems:
        raise ConfigError(problems)
    tree["environment"] = plain
    tree["interaction"]["environment"] = ENVIRONMENT  # said once, at `environment`
    return tree


def _pace_problems(environment: Any, tree: Mapping[str, Any]) -> Iterator[Problem]:
    launcher = tree.get("launcher") or {}
    scale = launcher.get("time_scale", 1)
    if getattr(environment, "live", False) and launcher.get("mode") == "realtime" and scale != 1:
        yield Problem(
            "launcher.time_scale", f"a real world does not go {scale:g} times as fast", "launcher.time_scale=1"
        )


def derived_seeds(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the seed of every part of a resolved config that has one, by its address."""
    found: dict[str, int] = {}

    def visit(node: object, key: str) -> None:
        if isinstance(node, Mapping):
            seed = node.get("seed")
            if key and isinstance(seed, int):
                found[key] = seed
            for name, value in node.items():
                visit(value, join(key, name))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                visit(value, join(key, index))

    visit(config, "")
    return found


def without_hydra(config: DictConfig) -> DictConfig:
    """Return a copy of a config without Hydra's node, that can be changed."""
    copy = deepcopy(config)
    OmegaConf.set_struct(copy, False)
    OmegaConf.set_readonly(copy, False)
    copy.pop("hydra", None)
    return copy


def parts_of(tree: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the nodes of a group's parts by name, without those that are left out."""
    return {name: node for name, node in (tree.get(group) or {}).items() if node is not None}


def describe_environment(environment: Any) -> dict[str, Any]:
    """Return the spaces of an environment as a config holds them. Raises ConfigError for what is none."""
    from pamiq_exp.spaces import UnsupportedSpaceError, describe_spaces

    try:
        spaces = describe_spaces(environment.observation_space, environment.action_space, environment.lanes)
    except UnsupportedSpaceError as error:
        raise ConfigError(Problem("environment", str(error))) from error
    except AttributeError as error:
        message = f"{type(environment).__name__} is no environment: {error}"
        raise ConfigError(Problem("environment._target_", message, "see pamiq_exp.Environment")) from error
    return dict(spaces)


@contextmanager
def seeded(seed: int, key: str) -> Iterator[None]:
    """Give what is built at `key` a random stream of its own: torch initialises layers from its global generator."""
    import torch

    from pamiq_exp.seeding import derive_seed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, key))
        yield


def _build_model(builder: Builder, name: str, node: object, seed: int) -> Any:
    key = join("models", name)
    with seeded(seed, key):
        return builder.build(node, key)
