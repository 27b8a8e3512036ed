"""What can be said of a config before anything in it is built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pamiq_exp.config.build import Builder
from pamiq_exp.config.checks.allow_list import AllowList
from pamiq_exp.config.checks.choices import choice_errors
from pamiq_exp.config.checks.dataclasses import error_of, read_dataclass
from pamiq_exp.config.checks.interpolations import ENVIRONMENT
from pamiq_exp.config.checks.limits import BY_NAME, limit_errors, number_errors
from pamiq_exp.config.checks.references import name_errors, unread_keys
from pamiq_exp.config.checks.untrusted_values import error_of_value, reason_against, value_errors
from pamiq_exp.config.errors import ConfigError, ErrorDetail, nearest
from pamiq_exp.config.interaction_wrappers import without_wrappers, wrapper_nodes
from pamiq_exp.config.provenance import origin_of
from pamiq_exp.config.targets import node_errors
from pamiq_exp.config.tree_paths import join, leaves, target_nodes
from pamiq_exp.formatting import MASK

if TYPE_CHECKING:
    from pamiq_exp.config.compose import Composed

LONGEST_NAME = 100
_FOLDER_NAME = re.compile(rf"\?\?\?|[\w+-][\w .+-]{{0,{LONGEST_NAME - 1}}}")

PARTS = ("models", "buffers", "trainers", "metrics", "tracking")
"""Top-level nodes that hold parts by name. A part set to null is left out."""

TOP_LEVEL = (
    "core",
    "environment",
    "experiment_name",
    "extrinsic_weight",
    "interaction",
    "intrinsic_weight",
    "launcher",
    "num_envs",
    "paths",
    "policy_core",
    "seed",
    "shared",
    "size",
    "sizes",
    "spaces",
    *PARTS,
)
"""All top-level keys. `shared` is free for values that several parts interpolate."""


def static_errors(
    composed: Composed, allow: AllowList, unsafe: Sequence[ErrorDetail] | None = None
) -> list[ErrorDetail]:
    """Return what is wrong with a config as far as that shows without importing any of its parts.

    Args:
        composed: The config.
        allow: What it may name.
        unsafe: What `unsafe_errors` has found, if it was asked already.
    """
    written, resolved = composed.tree, composed.resolved
    tree = resolved.tree
    errors = [_misplaced(key, composed) for key in map(str, written) if key not in TOP_LEVEL]
    errors += _root_errors(written, tree)
    if composed.is_put_together and written.get("spaces", "???") != "???":
        errors.append(ErrorDetail("spaces", "is filled in from the environment, nothing reads it", "leave it out"))
    for name in PARTS:
        errors += _part_errors(tree.get(name) or {}, name)
    errors += [
        ErrorDetail(key, "needs a value", f"set it in the experiment, or on the command line: {key}=...")
        for key, value in leaves(written)
        if value == "???" and key != "spaces"
    ]
    errors += [
        ErrorDetail(
            key, f"holds {MASK}, the mask of a secret: files of a run keep no secrets", f"give it again: {key}=..."
        )
        for key, value in leaves(written)
        if isinstance(value, str) and MASK in value
    ]
    errors += unsafe_errors(composed, allow) if unsafe is None else unsafe
    # Where choices do not go together, names that lead nowhere and values that nothing reads follow from that.
    mismatched = choice_errors(composed.hydra)
    errors += mismatched or [*resolved.errors, *name_errors(tree)]
    errors += [replace(each, origin=resolved.origins.get(each.key)) for each in limit_errors(tree)]
    only_shipped = all(file.origin.kind == "shipped" for file in composed.files)  # which need not be read again
    if not mismatched:
        errors += unread_keys(resolved, composed.hydra, frozenset() if only_shipped else composed.origins.anchored)
    if not any(key.startswith("launcher") for key in (*resolved.waiting, *(each.key for each in errors))):
        errors += _launcher_errors(tree)
    return errors


def _misplaced(key: str, composed: Composed) -> ErrorDetail:
    """Report a key that has no place at the top of a config: a file may not say where its keys belong."""
    file = next((each for each in composed.files if each.package and each.package.split(".")[0] == key), None)
    if file is None:
        return ErrorDetail(
            key, "there is no such key at the top of a config", nearest(key, TOP_LEVEL, listing="there are")
        )
    message = f"the keys of {file.place}.yaml stand below '{key}', where nothing reads them"
    return ErrorDetail(key, message, "begin the file with the line: # @package _global_", file.origin)


def unsafe_errors(composed: Composed, allow: AllowList) -> list[ErrorDetail]:
    """Return the targets that a config may not name, arguments that they may not be given, and values of others."""
    named = {key: list(node_errors(node, key, allow)) for key, node in target_nodes(composed.resolved.tree)}
    for key, node in target_nodes(composed.tree):  # as it is written: a target takes no interpolation
        if "${" in str(node["_target_"]):
            named[key] = list(node_errors(node, key, allow))
    return [*(each for errors in named.values() for each in errors), *value_errors(composed.resolved)]


def part_errors(composed: Composed, allow: AllowList) -> list[ErrorDetail]:
    """Return what is wrong with the targets of a config and with their arguments, and with the device.

    Imports what the config names. Call it when nothing in the config is unsafe.
    """
    resolved = composed.resolved
    tree = resolved.tree
    builder = Builder(allow)
    errors: list[ErrorDetail] = []
    for name in ("environment", *PARTS):
        errors += builder.errors(tree.get(name), name)
    errors += _interaction_errors(builder, tree.get("interaction"))
    by_position = [(key, node) for key, node in target_nodes(tree) if "_args_" in node and not errors]
    for key, node in by_position:  # what is given by name has been looked at by its name
        for parameter, address, value in builder.arguments(node, key):
            origin = resolved.origins.get(address)
            limits = number_errors(address, BY_NAME.get(parameter.name), value)
            errors += [replace(each, origin=origin) for each in limits]
            detail = error_of_value(resolved, address, reason_against(parameter.name, value))
            errors += [detail] if detail is not None else []
    unknown = any(key.startswith("launcher") for key in resolved.waiting)
    return errors if unknown else errors + _launcher_errors(tree, on_device=True)


def _interaction_errors(builder: Builder, node: object) -> Iterator[ErrorDetail]:
    if not isinstance(node, Mapping):
        return
    yield from builder.errors(without_wrappers(node), "interaction", ("environment", "observers"))
    delay = node.get("delay")
    if delay is not None and not isinstance(delay, Mapping):
        yield ErrorDetail("interaction.delay", f"expected a mapping, not {delay!r}", "interaction.delay.steps=1")
        return
    for key, wrapper in wrapper_nodes(node):
        # The argument of the others is the value of the key itself.
        address = f"interaction.{key}"
        for error in builder.errors(wrapper, address, ("environment",)):
            yield error if key == "delay" else replace(error, key=address)


def launcher_warnings(composed: Composed) -> list[ErrorDetail]:
    """Return the settings of the launcher that a user has changed and that do nothing in the mode of the run."""
    from pamiq_exp.runtime.config import LaunchConfig

    launcher = composed.resolved.tree["launcher"]
    warnings = []
    for name, modes in read_dataclass(LaunchConfig, launcher, "launcher").without_effect():
        origin = origin_of(f"launcher.{name}", composed.origins) if composed.files else None
        chosen = origin is not None and origin.typed and not origin.text.lstrip("+").startswith(f"launcher.{name}=")
        # What a shipped experiment sets is for the mode it chooses; who types another mode has not set it.
        if not chosen and (origin is None or origin.kind != "shipped"):
            message = f"has no effect in mode {launcher['mode']}"
            warnings.append(ErrorDetail(f"launcher.{name}", message, f"leave it out, or choose {modes}", origin))
    return warnings


def _launcher_errors(tree: Mapping[str, Any], *, on_device: bool = False) -> list[ErrorDetail]:
    """Return what is wrong with the settings of the launcher, or with the device that they name."""
    from pamiq_exp.runtime.config import LaunchConfig

    try:
        settings = read_dataclass(LaunchConfig, tree.get("launcher"), "launcher")
        if on_device:
            from pamiq_exp.runtime.device import require_device

            here = "cpu" if settings.learner == "ray" else settings.device  # its machine may be another one
            require_device(here, settings.precision, settings.inference_device, settings.devices)
    except ConfigError as error:
        return [] if on_device else error.errors
    except ValueError as error:
        return [error_of(str(error), "launcher")]
    return []


def _root_errors(written: Mapping[str, Any], tree: Mapping[str, Any]) -> Iterator[ErrorDetail]:
    seed = tree.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        yield ErrorDetail("seed", f"expected a whole number, not {seed!r}")
    name = tree.get("experiment_name")
    if not isinstance(name, str) or not _FOLDER_NAME.fullmatch(name):
        hint = f"it names a folder: {LONGEST_NAME} letters, digits, -_.+ and spaces at most, not beginning with a dot"
        shown = name if not isinstance(name, str) or len(name) < LONGEST_NAME else f"{name[:40]}..."
        yield ErrorDetail("experiment_name", f"expected a name, not {shown!r}", "" if name == "???" else hint)
    if "launcher" not in tree:
        yield ErrorDetail("launcher", "is not set", "choose one: launcher=realtime")
    for name in ("environment", "interaction"):
        node = tree.get(name)
        if not isinstance(node, Mapping) or "_target_" not in node:
            yield ErrorDetail(
                name, "is not set", f"choose one: {name}=NAME, or an experiment that does: experiment=NAME"
            )
    interaction = written.get("interaction")
    if isinstance(interaction, Mapping):
        if interaction.get("environment", ENVIRONMENT) != ENVIRONMENT:
            hint = "describe the environment in the node `environment`; wrappers too"
            yield ErrorDetail("interaction.environment", f"must be {ENVIRONMENT}", hint)
        if "observers" in interaction:
            yield ErrorDetail("interaction.observers", "is filled from `metrics`", "put the observers there")


def _part_errors(parts: object, name: str) -> Iterator[ErrorDetail]:
    if not isinstance(parts, Mapping):
        yield ErrorDetail(name, f"expected parts by name, not {parts!r}")
        return
    for part, node in parts.items():
        if node is None or isinstance(node, str) or (isinstance(node, Mapping) and "_target_" in node):
            continue
        hint = f"this config has no such part, only values for it; parts there are: {_with_target(parts)}"
        yield ErrorDetail(join(name, part), "has no _target_", hint)


def _with_target(parts: Mapping[str, object]) -> str:
    found = [str(part) for part, node in parts.items() if isinstance(node, Mapping) and "_target_" in node]
    return ", ".join(found) or "none"
