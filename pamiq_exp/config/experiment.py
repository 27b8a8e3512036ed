"""From a composed config to the parts of a run, in the one order in which they can be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from pamiq_exp.config.build import Builder
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.dataclasses import read_dataclass
from pamiq_exp.config.checks.interpolations import ENVIRONMENT, resolve
from pamiq_exp.config.checks.limits import limit_problems
from pamiq_exp.config.checks.static import part_problems, static_problems, unsafe_problems
from pamiq_exp.config.checks.untrusted_values import value_problems
from pamiq_exp.config.compose import Composed
from pamiq_exp.config.delay import with_delay, without_delay
from pamiq_exp.config.keys import join, leaves
from pamiq_exp.config.problems import ConfigError, Problem

if TYPE_CHECKING:
    from pamiq_exp.config.validate import Validated
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


def build_experiment(config: DictConfig | Validated, allow: AllowList = AllowList()) -> Experiment:
    """Build the parts of a config: those of a validated one as it was validated, or of one that was made in Python.

    The environment comes first and its spaces are put into the config, so that all other parts can read shapes
    from it: `${spaces.observation.image.shape}`. Each model is initialized from a random stream of its own.

    Raises:
        ConfigError: With every problem that was found, before anything is built where that is possible.
    """
    from pamiq_exp.runtime import LaunchConfig

    if isinstance(config, DictConfig):
        composed, validated = Composed.of_config(config), None
        if problems := static_problems(composed, allow) or part_problems(composed, allow):
            raise ConfigError(problems)
    else:
        composed, validated, allow = config.composed, config, config.allow
    builder = Builder(allow)
    begun = begin(composed, builder)
    with torn_down_on_error(begun.environment):
        if validated is not None and validated.tree and validated.tree["spaces"] != begun.tree["spaces"]:
            message = "shows or accepts something else than when it was checked, a moment ago"
            raise ConfigError(Problem("environment", message, "let its spaces depend on its arguments alone"))
        launch_config = read_dataclass(LaunchConfig, begun.tree["launcher"], "launcher")
        return _build_parts(builder, begun.environment, begun.tree, launch_config)


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
        interaction=builder.build(without_delay(tree["interaction"]), "interaction", given),
        models=models,
        buffers=buffers,
        trainers=trainers,
        trackers={name: part for name, part in trackers.items() if name not in recorders},
        launch_config=launch_config,
    )


@dataclass(frozen=True)
class Begun:
    """A config whose environment is built.

    Attributes:
        environment: The environment.
        tree: The config as plain data with nothing left to fill in.
    """

    environment: Any
    tree: dict[str, Any]


def begin(composed: Composed, builder: Builder) -> Begun:
    """Build the environment, and fill in everything else with its spaces.

    Raises:
        ConfigError: If it cannot be built, is no environment, or what depends on it is not allowed.
    """
    first = composed.resolved
    waiting = [key for key in first.waiting if key.startswith(("environment", "interaction.delay"))]
    if waiting or first.problems:
        message = "reads what only the environment tells, which is built from it"
        raise ConfigError(first.problems or [Problem(key, message, "write the value out") for key in waiting])
    plain = first.tree["environment"]
    delayed = with_delay(plain, first.tree["interaction"].get("delay"))
    environment = builder.build(delayed, "environment")
    with torn_down_on_error(environment):
        tree = _with_spaces(composed, environment, delayed)
    tree["environment"] = plain
    tree["interaction"]["environment"] = ENVIRONMENT  # said once, at `environment`
    return Begun(environment, tree)


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


def build_environment(composed: Composed, allow: AllowList) -> Any:
    """Validate and build the environment of a config alone. Raises ConfigError with all that is wrong with it."""
    found = [*unsafe_problems(composed, allow), *composed.resolved.problems, *limit_problems(composed.resolved.tree)]
    problems = [each for each in found if each.key.split(".")[0] in ("environment", "paths", "shared")]
    node, builder = composed.resolved.tree["environment"], Builder(allow)
    problems += [
        Problem(key, "needs a value", f"{key}=...") for key, each in leaves(node, "environment") if each == "???"
    ]
    if problems := problems or builder.problems(node, "environment"):
        raise ConfigError(composed.located(problems))
    return builder.build(node, "environment")


def _with_spaces(composed: Composed, environment: Any, delayed: object) -> dict[str, Any]:
    """Fill in a config with the spaces of its environment. Raises ConfigError with all that is wrong.

    Whatever refers to the environment gets it as the agent meets it, delayed if it is.
    """
    spaces = describe_environment(environment)
    resolved = composed.with_spaces(spaces)
    tree = resolved.tree
    problems = [
        *resolved.problems,
        *limit_problems(tree),
        *_pace_problems(environment, tree),
        *value_problems(resolved),
    ]
    if problems:
        raise ConfigError(problems)
    if delayed != tree["environment"]:
        tree = resolve({**composed.tree, "spaces": spaces, "environment": delayed}).tree
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


def parts_of(tree: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the nodes of a group's parts by name, without those that are left out."""
    return {name: node for name, node in (tree.get(group) or {}).items() if node is not None}


def describe_environment(environment: Any) -> dict[str, Any]:
    """Return the spaces of an environment as a config holds them. Raises ConfigError for what is none."""
    from pamiq_exp.spaces import UnsupportedSpaceError, describe_spaces

    try:
        spaces = describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)
    except UnsupportedSpaceError as error:
        raise ConfigError(Problem("environment", str(error))) from error
    except AttributeError as error:
        message = f"{type(environment).__name__} is no environment: {error}"
        raise ConfigError(Problem("environment._target_", message, "see pamiq_exp.Environment")) from error
    return dict(spaces)


@contextmanager
def seeded(seed: int, key: str) -> Iterator[None]:
    """Give what is built at `key` a random stream of its own: torch initializes layers from its global generator."""
    import torch

    from pamiq_exp.seeding import derive_seed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, key))
        yield


def _build_model(builder: Builder, name: str, node: object, seed: int) -> Any:
    key = join("models", name)
    with seeded(seed, key):
        return builder.build(node, key)
