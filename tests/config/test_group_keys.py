"""docs/reference/config.md names each group of conf/ with the keys that it writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from pamiq_exp.cli._catalogue import config_folders, groups
from tests.conftest import REPOSITORY, text_of_option

PAGE = REPOSITORY / "docs" / "reference" / "config.md"
CHOOSES = {"agent", "arm", "experiment", "sweep"}
"""Groups whose files choose from others and set values below those, or give words of the command line."""

DEEP = {"interaction.agent": 3, "interaction": 2, "models": 2, "buffers": 2, "trainers": 2, "environment": 1}


def keys_of(place: str, package: str | None = None) -> Iterator[str]:
    """Yield the keys that a file of conf/ and its parents write."""
    text = text_of_option(place)
    header = re.search(r"^# @package (\S+)$", text, re.MULTILINE)
    own = package if package is not None else header[1] if header else place.rpartition("/")[0].replace("/", ".")
    own = "" if own == "_global_" else own
    content: dict[str, Any] = yaml.safe_load(text) or {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            name, _, at = entry.partition("@")
            parent = name.lstrip("/") if name.startswith("/") else f"{place.rpartition('/')[0]}/{name}"
            yield from keys_of(parent, at or (own if header is None or header[1] != "_global_" else None))
    if own:
        yield cut(own)
    else:
        yield from (cut(key) for key in paths(content))


def paths(node: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in node.items():
        key = f"{above}.{name}".lstrip(".")
        if isinstance(value, dict) and value and "_target_" not in value:
            yield from paths(value, key)
        else:
            yield key


def cut(key: str) -> str:
    """A key without what lies below the part that it belongs to: `models.encoder`."""
    depth = next((depth for start, depth in DEEP.items() if key == start or key.startswith(f"{start}.")), 1)
    return ".".join(key.split(".")[:depth])


def test_group_keys_match_the_config_reference_page() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .*\|$", PAGE.read_text().partition("## Groups")[2], re.MULTILINE)
    page = {group: set(re.findall(r"`([\w.]+)`", cell)) for group, cell in rows}
    expected = {
        group: {key for option in options for key in keys_of(f"{group}/{option.name}")}
        for group, options in groups(config_folders()).items()
        if group not in CHOOSES
    }
    assert {group: page.get(group) for group in expected} == expected
    assert set(page) >= CHOOSES
