"""Differences between a run when it began and now: config, config files, versions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pamiq_exp.config import Composition, Source
from pamiq_exp.config.tree_paths import leaves
from pamiq_exp.files import parse_yaml, read_json
from pamiq_exp.option_files import TOGETHER, text_in
from pamiq_exp.run_folder import file_names

MAIN_PACKAGES = ("pamiq_exp", "torch", "numpy", "lightning", "gymnasium", "numba")
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


def changes_of_versions(folder: Path) -> list[str]:
    """Return a line for each main package, and for our own code, that is another one than in the manifest."""
    from pamiq_exp.run_folder import package_versions, source_hash

    try:
        manifest = _mapping(read_json(folder / file_names.MANIFEST))
    except OSError:
        return []
    before, now = _mapping(manifest.get("versions")), package_versions()
    lines = [
        f"{name} {before[name]} -> {now[name.replace('_', '-')]}"
        for name in MAIN_PACKAGES
        if name in before and before[name] != now.get(name.replace("_", "-"), before[name])
    ]
    code = manifest.get("source_sha256")
    if code is not None and code != source_hash(Path(__file__).parent.parent):
        lines.append("the code of pamiq_exp has changed")
    return lines


def _content(text: str) -> object:
    """The parsed content of a config file; comments and layout make no difference."""
    try:
        return parse_yaml(text)
    except ValueError:
        return text


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
