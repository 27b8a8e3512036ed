"""Differences between a run when it began and now: config, config files, versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pamiq_exp._version import __version__
from pamiq_exp.config import Composition, Source
from pamiq_exp.config.tree_paths import leaves
from pamiq_exp.files import parse_yaml
from pamiq_exp.option_files import TOGETHER, text_in
from pamiq_exp.run_folder.reader import mapping

MAIN_PACKAGES = ("pamiq_exp", "torch", "numpy", "lightning", "gymnasium", "numba")
CODE_CHANGED = "the code of pamiq_exp has changed"
_MOST = 40


def changes_of_config(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each value that differs between two configs, interpolations as they are written."""
    old, new = dict(leaves(before)), dict(leaves(after))
    keys = dict.fromkeys((*old, *new))
    lines = []
    for key in keys:
        if key not in new:
            lines.append(f"{key}: {old[key]} is gone")
        elif key not in old:
            lines.append(f"{key}: {new[key]} is new")
        elif old[key] != new[key]:
            lines.append(f"{key}: {old[key]} -> {new[key]}")
    return [*lines[:_MOST], *([f"... and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])]


def changes_of_files(kept: Composition, source: Source) -> list[str]:
    """Return the config files that a run was composed from and that differ now."""
    changed = []
    for place, text in kept.files.items():
        found = source.find_file(place)
        if found is not None and _content(text_in(found, place)) != _content(text):
            changed.append(f"{place}.yaml" if found.name != TOGETHER else f"{Path(place).parent / TOGETHER} ({place})")
    return changed


def changes_of_versions(before: Mapping[str, Any]) -> list[str]:
    """Return a line for each main package, our own code, Python and the processor that is another one than in `before`.

    Args:
        before: A manifest, or as much of one as an exported file holds: `versions`, `source_sha256`, `machine`.
    """
    from pamiq_exp.run_folder import machine, package_versions, source_hash

    there, here = mapping(before.get("machine")), machine()
    old = {"python": there.get("python"), **mapping(before.get("versions"))}
    new = {"python": here["python"], "pamiq_exp": __version__, **package_versions()}
    lines = [
        f"{name} {old[name]} -> {new.get(name, 'absent')}"
        for name in ("python", *MAIN_PACKAGES)
        if old.get(name) not in (None, new.get(name))
    ]
    if before.get("source_sha256") not in (None, source_hash(Path(__file__).parents[1])):
        lines.append(CODE_CHANGED)
    if there.get("cpu") not in (None, here["cpu"]):
        lines.append(f"processor {there['cpu']} -> {here['cpu']}")
    return lines


def _content(text: str) -> object:
    """The parsed content of a config file; comments and layout make no difference."""
    try:
        return parse_yaml(text)
    except ValueError:
        return text
