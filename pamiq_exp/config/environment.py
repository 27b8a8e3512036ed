"""The environment of a config, and the config filled in with its spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pamiq_exp.config.build import Builder
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.interpolations import ENVIRONMENT, resolve
from pamiq_exp.config.checks.limits import limit_errors
from pamiq_exp.config.checks.static import unsafe_errors
from pamiq_exp.config.checks.untrusted_values import value_errors
from pamiq_exp.config.compose import Composed
from pamiq_exp.config.errors import ConfigError, ErrorDetail
from pamiq_exp.config.interaction_wrappers import WRAPPERS, wrapped_environment
from pamiq_exp.config.tree_paths import leaves, names_in


@dataclass(frozen=True)
class Begun:
    """A config whose environment is built.

    Attributes:
        environment: The environment.
        tree: The config as plain data with nothing left to fill in.
    """

    environment: Any
    tree: dict[str, Any]


def begin(composed: Composed, builder: Builder, instead: Any = None) -> Begun:
    """Build the environment, and fill in everything else with its spaces.

    Args:
        composed: The config.
        builder: Builds it.
        instead: An environment that takes the place of the one that the config describes, which is not built.

    Raises:
        ConfigError: If it cannot be built, is no environment, or what depends on it is not allowed.
    """
    from pamiq_exp.component import torn_down_on_error

    first = composed.resolved
    read = ("environment", *(f"interaction.{name}" for name in WRAPPERS))
    waiting = [key for key in first.waiting if key.startswith(read)]
    if waiting or first.errors:
        message = "depends on the environment, which is built from it"
        raise ConfigError(first.errors or [ErrorDetail(key, message, "write the value out") for key in waiting])
    plain = first.tree["environment"]
    wrapped = wrapped_environment(plain, first.tree["interaction"])
    environment = builder.build(wrapped, "environment") if instead is None else instead
    with torn_down_on_error(environment):
        tree = _with_spaces(composed, environment, wrapped)
    tree["environment"] = plain
    tree["interaction"]["environment"] = ENVIRONMENT  # said once, at `environment`
    return Begun(environment, tree)


def build_environment(composed: Composed, allow: AllowList) -> Any:
    """Validate and build the environment of a config alone. Raises ConfigError with all that is wrong with it."""
    found = [*unsafe_errors(composed, allow), *composed.resolved.errors, *limit_errors(composed.resolved.tree)]
    waits = any(names_in(key)[:1] == ["environment"] for key in composed.resolved.waiting)
    errors = [each for each in found if waits or each.key.split(".")[0] in ("environment", "paths", "shared")]
    node, builder = composed.resolved.tree["environment"], Builder(allow)
    errors += [
        ErrorDetail(key, "needs a value", f"{key}=...") for key, each in leaves(node, "environment") if each == "???"
    ]
    if errors := errors or builder.errors(node, "environment"):
        raise ConfigError(composed.located(errors))
    return builder.build(node, "environment")


def _with_spaces(composed: Composed, environment: Any, wrapped: object) -> dict[str, Any]:
    """Fill in a config with the spaces of its environment. Raises ConfigError with all that is wrong.

    Whatever refers to the environment gets it as the agent meets it, wrapped if it is.
    """
    spaces = describe_environment(environment)
    resolved = composed.with_spaces(spaces)
    tree = resolved.tree
    errors = [
        *resolved.errors,
        *limit_errors(tree),
        *_pace_errors(environment, tree),
        *value_errors(resolved),
    ]
    if errors:
        raise ConfigError(errors)
    if wrapped != tree["environment"]:
        tree = resolve({**composed.tree, "spaces": spaces, "environment": wrapped}).tree
    return tree


def _pace_errors(environment: Any, tree: Mapping[str, Any]) -> Iterator[ErrorDetail]:
    launcher = tree.get("launcher") or {}
    scale = launcher.get("time_scale", 1)
    if getattr(environment, "live", False) and launcher.get("mode") in ("realtime", "sequential") and scale != 1:
        yield ErrorDetail(
            "launcher.time_scale", f"a real world does not go {scale:g} times as fast", "launcher.time_scale=1"
        )


def describe_environment(environment: Any) -> dict[str, Any]:
    """Return the spaces of an environment as a config holds them. Raises ConfigError for what is none."""
    from pamiq_exp.spaces import UnsupportedSpaceError, describe_spaces

    try:
        spaces = describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)
    except UnsupportedSpaceError as error:
        raise ConfigError(ErrorDetail("environment", str(error))) from error
    except AttributeError as error:
        message = f"{type(environment).__name__} is no environment: {error}"
        raise ConfigError(ErrorDetail("environment._target_", message, "see pamiq_exp.Environment")) from error
    return dict(spaces)
