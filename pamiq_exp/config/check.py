"""What can be said of a config before anything in it is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config.allow_list import AllowList
from pamiq_exp.config.build import Builder, target_nodes
from pamiq_exp.config.ceilings import ceiling_problems
from pamiq_exp.config.interpolations import interpolation_problems
from pamiq_exp.config.keys import join, leaves
from pamiq_exp.config.names import name_problems, unread_keys
from pamiq_exp.config.problems import ConfigError, Problem, nearest
from pamiq_exp.config.schema import problem_of, read_dataclass
from pamiq_exp.config.targets import node_problems
from pamiq_exp.formatting import MASK

ENVIRONMENT = "${environment}"
"""What must stand in `interaction.environment`: the node that is built first, whose shapes all others read."""

_FOLDER_NAME = re.compile(r"\?\?\?|\$\{.*\}|[\w+-][\w .+-]*")

PARTS = ("models", "buffers", "trainers", "metrics", "tracking")
"""Top-level nodes that hold parts by name. A part set to null is left out."""

TOP_LEVEL = (
    "environment",
    "experiment_name",
    "interaction",
    "launcher",
    "paths",
    "seed",
    "shared",
    "spaces",
    *PARTS,
)
"""All top-level keys. `shared` is free for values that several parts interpolate."""


def check_names(config: DictConfig, allow: AllowList) -> list[Problem]:
    """Return what is wrong with a composed config as far as that shows without importing any of its parts."""
    tree = plain_tree(config)
    problems = [
        Problem(key, "there is no such key at the top of a config", nearest(key, TOP_LEVEL, listing="there are"))
        for key in map(str, tree)
        if key not in TOP_LEVEL
    ]
    problems += _root_problems(tree)
    if "hydra" in config and tree.get("spaces", "???") != "???":
        problems.append(Problem("spaces", "is filled in from the environment, nothing reads it", "leave it out"))
    for name in PARTS:
        problems += _part_problems(tree.get(name) or {}, name)
    problems += [
        Problem(key, "needs a value", f"set it in the experiment, or on the command line: {key}=...")
        for key, value in leaves(tree)
        if value == "???" and key != "spaces"
    ]
    problems += [
        Problem(
            key, f"holds {MASK}, which stands for a secret that no file of a run keeps", f"give it again: {key}=..."
        )
        for key, value in leaves(tree)
        if isinstance(value, str) and MASK in value
    ]
    problems += unsafe_targets(config, allow)
    problems += interpolation_problems(tree)
    problems += name_problems(tree)
    problems += ceiling_problems(tree)
    problems += unread_keys(tree, _hydra_tree(config))
    if not any(problem.key.startswith("launcher") for problem in problems):
        problems += _launcher_problems(config)
    return problems


def unsafe_targets(config: DictConfig, allow: AllowList) -> list[Problem]:
    """Return the targets that a config may not name, and arguments that they may not be given."""
    return [problem for key, node in target_nodes(plain_tree(config)) for problem in node_problems(node, key, allow)]


def check_parts(config: DictConfig, allow: AllowList) -> list[Problem]:
    """Return what is wrong with the targets of a config and with their arguments, and with the device.

    Imports what the config names. Call it when nothing in the config is unsafe.
    """
    tree = plain_tree(config)
    builder = Builder(allow)
    problems: list[Problem] = []
    for name in ("environment", "interaction", *PARTS):
        given = ("environment", "observers") if name == "interaction" else ()
        problems += builder.problems(tree.get(name), name, given)
    return problems + _device_problems(config)


def _launcher_problems(config: DictConfig) -> list[Problem]:
    from pamiq_exp.runtime.config import LaunchConfig

    try:
        read_dataclass(LaunchConfig, resolved(config, "launcher"), "launcher")
    except ConfigError as error:
        return error.problems
    return []


def _device_problems(config: DictConfig) -> list[Problem]:
    from pamiq_exp.runtime.config import LaunchConfig
    from pamiq_exp.runtime.device import make_fabric

    try:
        settings = read_dataclass(LaunchConfig, resolved(config, "launcher"), "launcher")
        make_fabric(settings.device, settings.precision)
    except ConfigError:
        return []  # told already
    except ValueError as error:
        return [problem_of(str(error), "launcher")]
    return []


def resolved(config: DictConfig, key: str) -> Any:
    """Return the plain data at `key`, with interpolations replaced by what they point at.

    Raises:
        ConfigError: If one points nowhere.
    """
    try:
        node = OmegaConf.select(config, key)
        return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    except OmegaConfBaseException as error:
        where = str(error.full_key or key)
        where = where if where.startswith(key) else join(key, where)
        raise ConfigError(Problem(where, str(error).splitlines()[0], "mend what stands in ${...}")) from error


def plain_tree(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain data without Hydra's node, interpolations as they stand."""
    tree = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    assert isinstance(tree, dict)
    tree.pop("hydra", None)
    return {str(key): value for key, value in tree.items()}


def _hydra_tree(config: DictConfig) -> object:
    node = config._get_node("hydra")  # as it stands: it may be an interpolation that leads nowhere
    return OmegaConf.to_container(node, resolve=False, throw_on_missing=False) if OmegaConf.is_config(node) else None


def _root_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    seed = tree.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        yield Problem("seed", f"expected a whole number, not {seed!r}")
    name = tree.get("experiment_name")
    if not isinstance(name, str) or not _FOLDER_NAME.fullmatch(name):
        remedy = "it names a folder: letters, digits and -_.+ and spaces, not beginning with a dot"
        yield Problem("experiment_name", f"expected a name, not {name!r}", "" if name == "???" else remedy)
    if "launcher" not in tree:
        yield Problem("launcher", "is not set", "choose one: launcher=realtime")
    for name in ("environment", "interaction"):
        node = tree.get(name)
        if not isinstance(node, Mapping) or "_target_" not in node:
            yield Problem(name, "is not set", f"choose one: {name}=NAME, or an experiment that does: experiment=NAME")
    interaction = tree.get("interaction")
    if isinstance(interaction, Mapping):
        if interaction.get("environment", ENVIRONMENT) != ENVIRONMENT:
            remedy = "describe the environment in the node `environment`; wrappers too"
            yield Problem("interaction.environment", f"must be {ENVIRONMENT}", remedy)
        if "observers" in interaction:
            yield Problem("interaction.observers", "is filled from `metrics`", "put the observers there")


def _part_problems(parts: object, name: str) -> Iterator[Problem]:
    if not isinstance(parts, Mapping):
        yield Problem(name, f"expected parts by name, not {parts!r}")
        return
    for part, node in parts.items():
        if node is None or isinstance(node, str) or (isinstance(node, Mapping) and "_target_" in node):
            continue
        remedy = f"this config has no such part, only values for it; parts there are: {_with_target(parts)}"
        yield Problem(join(name, part), "has no _target_", remedy)


def _with_target(parts: Mapping[str, object]) -> str:
    found = [str(part) for part, node in parts.items() if isinstance(node, Mapping) and "_target_" in node]
    return ", ".join(found) or "none"
