"""Values that only the user may give: places on this machine and on the network, and what is sent there.

A config file that somebody sent may name files in the folder where the user stands, and nothing else. What is typed on
the command line, and what came with the package, may name everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from omegaconf import DictConfig

from pamiq_exp.config.check import plain_tree
from pamiq_exp.config.files import is_shipped
from pamiq_exp.config.keys import leaves
from pamiq_exp.config.origins import origin_of, origins
from pamiq_exp.config.problems import Origin, Problem

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[\w.-]+@[\w.-]+:|\\\\")
HOSTS = ("address", "base_url", "host", "hostname", "server", "url")
"""Keys whose values name a machine."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SENDS = "WandbTracker"
LONGEST = 1000
"""Characters of a path; what is longer is text."""


def check_values(config: DictConfig) -> list[Problem]:
    """Return the values of config files that lead out of the current folder or to another machine.

    Args:
        config: A composed config, with Hydra's node, which tells where it came from. Where it came from one file,
            nothing in it was typed.
    """
    tree = plain_tree(config)
    suspicious = [(key, reason) for key, value in leaves(tree) if (reason := _reason(key, value)) is not None]
    suspicious += _sending(tree.get("tracking"))
    if not suspicious:
        return []
    try:
        table = origins(config)
    except Exception:  # a config without Hydra's node: all of it came from somewhere else
        table = {}
    return list(_refusals(suspicious, table))


def _refusals(suspicious: list[tuple[str, str]], table: dict[str, Origin]) -> Iterator[Problem]:
    for key, reason in suspicious:
        origin = origin_of(key, table)
        if origin is not None and (origin.typed or is_shipped(Path(origin.file))):
            continue
        remedy = f"if you want that, type it yourself: {key}=..."
        yield Problem(key, f"a config file may not {reason}", remedy, origin)


def _sending(trackers: object) -> Iterator[tuple[str, str]]:
    """Yield what would send more than records, or send at all where the user's settings do not."""
    for name, node in trackers.items() if isinstance(trackers, Mapping) else ():
        if not isinstance(node, Mapping) or not str(node.get("_target_")).endswith(f".{SENDS}"):
            continue
        if node.get("mode", "auto") not in ("auto", "offline", "disabled"):
            yield f"tracking.{name}.mode", "put W&B online"
        if node.get("upload_media") not in (None, False):
            yield f"tracking.{name}.upload_media", "send pictures to W&B"


def _reason(key: str, value: object) -> str | None:
    """What a config file may not do that this value does; None if it is harmless."""
    if not isinstance(value, str) or not value or len(value) > LONGEST or "\n" in value:
        return None
    names_a_machine = key.rpartition(".")[2] in HOSTS and value not in LOOPBACK and "${" not in value
    if _ADDRESS.match(value) or names_a_machine:
        return "name an address on the network"
    path = PurePosixPath(value)
    if path.is_absolute() or value.startswith("~"):
        return "name a place outside of the current folder"
    if ".." in path.parts:
        return "name a folder above"
    return "name a link out of the current folder" if _leads_out(value) else None


def _leads_out(value: str) -> bool:
    """Whether a relative path exists and is in truth somewhere else."""
    try:
        here = Path.cwd().resolve()
        path = here / value
        return path.exists() and not path.resolve().is_relative_to(here)
    except (OSError, ValueError):
        return False
