"""JSON schemas of config files: one for the whole config, and for the options of each group."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, Literal, get_args

from pamiq_exp.cli._catalogue import Entry, classes, groups
from pamiq_exp.config import AllowList, ConfigError
from pamiq_exp.config.checks.json_schema import DEFINITIONS, LATER, Schema, SchemaBuilder, reference
from pamiq_exp.config.checks.static import PARTS, TOP_LEVEL
from pamiq_exp.config.checks.types import hints_of
from pamiq_exp.config.interaction_wrappers import DELAYED
from pamiq_exp.config.targets import Target, find_target
from pamiq_exp.option_files import places, text_in
from pamiq_exp.run_folder import file_names
from pamiq_exp.trust import PART_PACKAGES

DRAFT = "https://json-schema.org/draft/2020-12/schema"
WHOLE = "config"
"""Name of the schema of the whole config, which holds the definitions of all others."""
TOGETHER = "_options"
"""Ends the name of the schema for a file that holds several options."""

_TARGET = re.compile(r"_target_: *([\w.]+)")
_PACKAGE = re.compile(r"^# *@package +(\S+)", re.MULTILINE)
_NULL: Schema = {"type": "null"}


def config_schemas(folders: Sequence[Path], allow: AllowList) -> dict[str, Schema]:
    """Return all schemas by name: that of the whole config, and two a group, for one option and for several in a file.

    Imports what the config files name and what the user allows.

    Args:
        folders: Config folders.
        allow: What configs may name.
    """
    found_groups = groups(folders)
    builder = SchemaBuilder(_targets(folders, allow))
    builder.definitions["defaults"] = _defaults(found_groups)
    root = _root(builder, allow)
    schemas = {WHOLE: {"$schema": DRAFT, "title": "the whole config", **root, "$defs": builder.definitions}}
    for group, options in found_groups.items():
        places = sorted({_package(entry, group) for entry in options})
        found = [each for place in places for each in _alternatives(builder, root, group, place)]
        allowed = [_with_defaults(each) for each in found]
        schemas[group] = {
            "$schema": DRAFT,
            "title": f"an option of the group {group}",
            **_outside({"anyOf": [_NULL, *allowed]}),
        }
        together = {"type": "object", "additionalProperties": {"$ref": f"{PurePath(group).name}.json"}}
        schemas[f"{group}{TOGETHER}"] = {"$schema": DRAFT, "title": f"options of the group {group}", **together}
    return schemas


def _targets(folders: Sequence[Path], allow: AllowList) -> dict[str, Target]:
    """Return everything that configs may name and that is installed, by name."""
    texts = [text_in(path, place) for folder in folders for place, path in places(folder, skip=file_names.MANIFEST)]
    named = {name for text in texts for name in _TARGET.findall(text)}
    named |= {entry.name for package in PART_PACKAGES for entry in classes(package)}
    for package in allow.trusted:
        with suppress(ImportError):
            named |= {f"{package}.{name}" for name in getattr(import_module(package), "__all__", ())}
    found: dict[str, Target] = {}
    for name in sorted(named):
        with suppress(ConfigError):
            found[name] = find_target(name, "", allow)
    return found


def _root(builder: SchemaBuilder, allow: AllowList) -> Schema:
    """Return the schema of the top of a config, from what a launch takes."""
    from lightning import LightningModule

    from pamiq_exp.publishable import Publishable
    from pamiq_exp.runtime import LaunchConfig, launch

    takes = hints_of(launch)
    interaction = takes["interaction"]
    observers = hints_of(interaction)["observers"]
    # `launch` names the class of models for type checkers alone, since runs without models need no Lightning.
    models = Mapping[str, LightningModule | Publishable] | None
    hints = {"metrics": observers, "tracking": takes["trackers"] | observers, "models": models}
    delay = builder.arguments(find_target(DELAYED, "", allow), omit=("environment",))
    count = {"anyOf": [builder.value(int), _NULL, LATER]}
    for name, target in builder.targets.items():
        if inspect.isclass(target) and issubclass(target, interaction):
            builder.definitions[name]["properties"] |= {
                "delay": {"anyOf": [delay, _NULL, LATER]}, "frame_stack": count, "action_repeat": count,
            }  # fmt: skip
    known: dict[str, Schema] = {
        "experiment_name": builder.value(str),
        "seed": builder.value(int),
        "num_envs": builder.value(int),
        "size": builder.value(Literal["cpu", "small", "base", "large"]),
        "sizes": {"type": "object", "additionalProperties": builder.value(str)},
        "paths": {"type": "object", "properties": {"outputs": builder.value(str)}},
        "launcher": builder.fields(LaunchConfig),
        "environment": builder.value(hints_of(interaction)["environment"]),
        "interaction": builder.value(interaction),
        **{part: _parts(builder, hints.get(part, takes.get(part))) for part in PARTS},
    }
    properties = {"defaults": reference("defaults"), "hydra": {}, **{key: {} for key in TOP_LEVEL}, **known}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _parts(builder: SchemaBuilder, hint: Any) -> Schema:
    """Return the schema of parts by name, each of which may be null, from the hint of the mapping that holds them."""
    kinds = [get_args(option)[1] for option in get_args(hint) if get_args(option)]
    inner = {"anyOf": [_NULL, *(each for kind in kinds for each in builder.value(kind)["anyOf"])]}
    return {"anyOf": [{"type": "object", "additionalProperties": inner}, _NULL, LATER]}


def _alternatives(builder: SchemaBuilder, root: Schema, group: str, place: str) -> list[Schema]:
    """Return the schemas of what a file of a group may hold whose content goes to a place in the config."""
    if group == "sweep":
        from pamiq_exp.sweeps.sweep_file import SweepFile

        return [builder.fields(SweepFile)]
    found = [root]
    for name in place.split(".") if place else ():
        below = [inner for each in found for inner in _below(builder, each, name) if inner.get("type") == "object"]
        found = list({id(each): each for each in below}.values())
    return found or [{"type": "object"}]


def _below(builder: SchemaBuilder, schema: Schema, name: str) -> Iterator[Schema]:
    """Yield the schemas that a schema has for a key, each without references and alternatives at its top."""
    inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
    yield from _flat(builder, inner) if isinstance(inner, dict) else ()


def _flat(builder: SchemaBuilder, schema: Schema) -> Iterator[Schema]:
    if "$ref" in schema:
        yield from _flat(builder, builder.definitions[schema["$ref"].removeprefix(DEFINITIONS)])
    elif "anyOf" in schema:
        for option in schema["anyOf"]:
            yield from _flat(builder, option)
    else:
        yield schema


def _with_defaults(schema: Schema) -> Schema:
    return {**schema, "properties": {"defaults": reference("defaults"), **schema.get("properties", {})}}


def _outside(schema: Schema) -> Schema:
    """Let references lead to the definitions in the schema of the whole config."""

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: f"{WHOLE}.json{v}" if k == "$ref" else moved(v) for k, v in node.items()}
        return [moved(each) for each in node] if isinstance(node, list) else node

    return dict(moved(schema))


def _defaults(found: Mapping[str, Sequence[Entry]]) -> Schema:
    """Return the schema of a defaults list: the groups there are, and their options with a line on each."""
    choices = {group: {"anyOf": [*_options(options), {"type": ["string", "array", "null"]}]}
               for group, options in found.items()}  # fmt: skip
    properties = {f"{prefix}/{group}": choice for prefix in ("", "override ") for group, choice in choices.items()}
    return {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object", "properties": properties}]}}


def _options(options: Iterable[Entry]) -> Iterator[Schema]:
    yield from ({"const": entry.name, "description": entry.description} for entry in options)


def _package(entry: Entry, group: str) -> str:
    """Return where in the config the content of a file goes; empty for the top."""
    found = _PACKAGE.search(entry.text)
    return (found[1] if found else "_group_").replace("_group_", group.replace("/", ".")).removeprefix("_global_")
