"""Which choices bring a group along: what to choose where a config has no place for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pamiq_exp.option_files import TOGETHER, places, text_in

_BRINGS = re.compile(r"^\s*-\s*/([\w/]+)(?:@[^:\s]*)?:\s*(\S+)", re.MULTILINE)
_USES = re.compile(r"^\s*-\s*([\w/]+)(?:@\S+)?\s*(?:#.*)?$", re.MULTILINE)
MOST = 6
"""Choices that are named."""


def list_choices(group: str, folders: Iterable[Path]) -> str:
    """Name choices that bring a group along, as `key=value`: `environment=noise_world` for `world`; empty if none does.

    Those with a file of their own come first: options that share one are variants of them.

    Args:
        group: Name of the group.
        folders: Config folders, searched one after another.
    """
    found: dict[str, None] = {}
    for folder in folders:
        ordered = sorted(places(folder), key=lambda each: (each[0].rpartition("/")[0], each[1].name == TOGETHER))
        texts = {place: text_in(path, place) for place, path in ordered if "/" in place}
        found |= dict.fromkeys(name for name in texts if name.count("/") == 1 and _brings(group, name, texts, set()))
    choices = [each.replace("/", "=") for each in found if not each.startswith(("experiment/", "arm/", "sweep/"))]
    return ", ".join(choices[:MOST]) + (", ..." if len(choices) > MOST else "")


def _brings(group: str, name: str, texts: Mapping[str, str], seen: set[str]) -> bool:
    """Whether a file brings a group along, itself or by a file that it is made from."""
    if name in seen or name not in texts:
        return False
    seen.add(name)
    text = texts[name]
    if any(brought == group and choice != "null" for brought, choice in _BRINGS.findall(text)):
        return True
    above = name.rpartition("/")[0]
    return any(_brings(group, f"{above}/{each}", texts, seen) for each in _USES.findall(text))
