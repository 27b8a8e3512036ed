"""Which file and line chose each value of a config, from what the run kept of its composition.

`composition.yaml` holds the text of every file that took part, in the order in which they were laid over each other.
It is read as text: nothing of a stranger's run is composed, resolved or imported.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from pamiq_exp.files import parse_yaml
from pamiq_exp.option_files import place_of_line

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEEPEST = 8
"""Files that are based on one another."""
_PACKAGE = re.compile(r"^#\s*@package\s+(\S+)\s*$", re.MULTILINE)


def provenance_of(composition: Mapping[str, Any]) -> dict[str, str]:
    """Return what chose each key: `reward/rnd.yaml:12`, `world/_options.yaml:3`, or `typed: seed=3`.

    Args:
        composition: `composition.yaml` of a run: `overrides` and `files`, texts by place. Other content gives nothing.
    """
    given, words = composition.get("files"), composition.get("overrides")
    files = (
        {str(place): text for place, text in given.items() if isinstance(text, str)} if isinstance(given, dict) else {}
    )
    nodes = {place: node for place, text in files.items() if (node := _node(text)) is not None}
    typed = [str(word).lstrip("+~").partition("=")[::2] for word in words] if isinstance(words, list) else []
    packages = _packages(nodes, files, dict(typed))
    table: dict[str, str] = {}
    for place, node in nodes.items():
        for package in packages[place]:
            _lay(table, package, node, partial(place_of_line, place, files[place]))
    for word in words if isinstance(words, list) else []:
        key, _, value = str(word).lstrip("+~").partition("=")
        if posixpath.join(key.partition("@")[0], value) not in files:  # else it chooses a file, not a value
            _forget_below(table, key)
            table[key] = f"typed: {word}"
    return table


def origin_of(key: str, table: Mapping[str, str]) -> str:
    """Return what chose a key, or else the nearest key above it; empty if that is not known."""
    while key:
        if key in table:
            return table[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return ""


def _node(text: str) -> yaml.MappingNode | None:
    try:
        parse_yaml(text)  # within limits?
        node = yaml.compose(text, Loader=_LOADER)
    except (ValueError, yaml.YAMLError):
        return None
    return node if isinstance(node, yaml.MappingNode) else None


def _packages(
    nodes: Mapping[str, yaml.MappingNode], files: Mapping[str, str], typed: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return where the keys of each file go: as a defaults list says (`/core@models.core: gru`), or its header, or its
    group. A file that such a file is based on goes where that one goes, unless its header says otherwise."""
    entries = [(place, *entry) for place, node in nodes.items() for entry in _defaults(node, posixpath.dirname(place))]
    chosen = {group: option for _, group, option, _ in reversed(entries) if "$" not in option} | dict(typed)
    listed = []
    for above, group, option, package in entries:
        option = typed.get(f"{group}@{package}", option)
        option = chosen.get(option[2:-1], option) if option.startswith("${") else option
        listed.append((above, posixpath.normpath(posixpath.join(group, option)), package))
    moved: dict[str, list[str]] = {}
    for _, place, package in listed:
        if package:
            moved.setdefault(place, []).append(package.removeprefix("_global_."))
    moved = _with_bases(moved, listed, files)
    for above, place, package in listed:
        if not package and above not in moved and place in moved:  # here it goes where its group goes
            moved[place].append(_own_package(place, files.get(place, "")))
    moved = _with_bases(moved, listed, files)
    return {place: moved.get(place) or [_own_package(place, files[place])] for place in nodes}


def _with_bases(
    moved: Mapping[str, list[str]], listed: list[tuple[str, str, str]], files: Mapping[str, str]
) -> dict[str, list[str]]:
    """Send what a file is based on to where that file goes, unless its header says otherwise."""
    found = {place: list(packages) for place, packages in moved.items()}
    for _ in range(_DEEPEST):
        for above, place, package in listed:
            if not package and above in found and _PACKAGE.search(files.get(place, "")) is None:
                found.setdefault(place, []).extend(found[above])
        found = {place: list(dict.fromkeys(packages)) for place, packages in found.items()}
    return found


def _own_package(place: str, text: str) -> str:
    match = _PACKAGE.search(text)
    package = match[1] if match is not None else "_group_"
    group = posixpath.dirname(place).replace("/", ".").strip(".")
    return group if package == "_group_" else "" if package == "_global_" else package.removeprefix("_global_.")


def _defaults(node: yaml.MappingNode, folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield the files that a file is based on: group, option, and the package that the entry names, or nothing."""
    for key, value in node.value:
        if key.value != "defaults" or not isinstance(value, yaml.SequenceNode):
            continue
        for entry in value.value:
            if isinstance(entry, yaml.ScalarNode):
                name, _, package = entry.value.partition("@")
                group, option = posixpath.split(name)
            elif isinstance(entry, yaml.MappingNode) and len(entry.value) == 1:
                name, option = str(entry.value[0][0].value), str(entry.value[0][1].value)
                group, _, package = name.removeprefix("override ").strip().partition("@")
            else:
                continue
            group = group.lstrip("/") if group.startswith("/") else posixpath.join(folder, group)
            yield group, option, "" if package == "_here_" else package


def _lay(table: dict[str, str], package: str, node: yaml.MappingNode, place_of: Callable[[int], str]) -> None:
    """Lay the keys of a file over what is there: mappings are merged, everything else is replaced."""
    pending: list[tuple[str, yaml.Node, int]] = [
        (f"{package}.{name.value}".lstrip("."), value, name.start_mark.line)
        for name, value in node.value
        if name.value != "defaults"
    ]
    while pending:
        key, value, line = pending.pop()
        if not isinstance(value, yaml.MappingNode):
            _forget_below(table, key)
        table[key] = place_of(line + 1)
        if isinstance(value, yaml.MappingNode):
            pending += [(f"{key}.{name.value}", below, name.start_mark.line) for name, below in value.value]
        elif isinstance(value, yaml.SequenceNode):
            pending += [(f"{key}[{index}]", below, below.start_mark.line) for index, below in enumerate(value.value)]


def _forget_below(table: dict[str, str], key: str) -> None:
    if key in table:
        for name in [name for name in table if name.startswith((f"{key}.", f"{key}["))]:
            del table[name]
