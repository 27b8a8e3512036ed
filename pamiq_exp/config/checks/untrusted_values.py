"""Values that only the user may give: places on this machine and on the network, and what is sent there.

Values are judged as they are filled in, by the least trusted origin that contributed to them. What the user typed, what
came with the package and what lies in a folder that the user trusts may name everything; every other file may name
files below the current folder, and nothing else. This is the one list of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pamiq_exp.config.checks.expressions import Resolved
from pamiq_exp.config.errors import ErrorDetail, Origin, least_of
from pamiq_exp.config.tree_paths import join, leaves, mappings, target_nodes
from pamiq_exp.config.trust import TRUST_FLAG

_ADDRESS = re.compile(
    r"://|^(file|data|pipe):|^[\w.-]+@[\w.-]+:|^\\\\|^[\w-]+(\.[\w-]+)+:\d+$|^\d+(\.\d+){3}$|^\[?[\dA-Fa-f]*:[\dA-Fa-f]*:[\dA-Fa-f:.]*\]?$"
)
_ELSEWHERE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]")
_SCHEME = re.compile(r"[A-Za-z][\w+.,-]*:")
HOSTS = ("address", "cluster", "endpoint", "host", "hostname", "hosts", "ip", "server", "servers", "uri", "url", "urls")
"""Last words of arguments whose values name a machine."""
FILES = ("device", "file", "filename", "files", "folder", "path", "paths", "source", "sources")
"""Last words of arguments whose values name a file or a device. What opens those may know words such as `concat:`."""
PLACES = (
    *FILES, "checkpoint", "checkpoints", "config", "data", "dataset", "dir", "directory", "image", "images", "location",
    "map", "model", "output", "outputs", "pictures", "rom", "root", "scenario", "video", "videos", "weights",
)  # fmt: skip
"""Last words of arguments for which a plain word may be a path."""
OUTPUTS = "outputs"
"""Where results go unless something else is said: the user may have made it a link to another disk."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HARMLESS: Mapping[str, Mapping[str, tuple[tuple[object, ...], str]]] = {
    "WandbTracker": {
        "mode": (("auto", "offline", "disabled"), "put W&B online"),
        "upload_media": ((None, False), "send pictures to W&B"),
        "_args_": ((None, []), "give W&B's settings by position"),
    },
    "DashboardTracker": {
        "_target_": ((), "start the page of a run"),
        "control": ((None, False), "let a page control the run"),
        "browser": ((None, False), "open a browser"),
        "_args_": ((None, []), "give the settings of a page by position"),
    },
}
"""Arguments of trackers by the ends of their names, with the values that do not send or show more than the user's own
settings do, and what other values do."""


def value_errors(resolved: Resolved) -> Iterator[ErrorDetail]:
    """Yield the values of files that lead out of the current folder or to another machine.

    Args:
        resolved: A config that is filled in, with who wrote what; without that all of it is the user's own.
    """
    if not resolved.origins:
        return
    for key, reason in (*_places(resolved.tree), *_beyond_the_harmless(resolved.tree)):
        if (detail := error_of_value(resolved, key, reason)) is not None:
            yield detail


def error_of_value(resolved: Resolved, key: str, reason: str | None) -> ErrorDetail | None:
    """Return what is wrong with a value that only the user may give; None if the user did, or without a reason."""
    origin = _written_by(resolved, key) if reason else None
    if origin is None or origin.is_ours:
        return None
    hint = f"if you want that, type it yourself: {key}=... (or say once that its folder is yours: {TRUST_FLAG} DIR)"
    return ErrorDetail(key, f"a config file may not {reason}", hint, origin)


def reason_against(name: str, value: object) -> str | None:
    """Return what a file that is not ours may not do that this value of the argument `name` does; None if it may."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or text in LOOPBACK or (name == "cluster" and text in ("auto", "local")):
        return None
    kind = re.sub(r"\[.*", "", name).lower().rpartition("_")[2]
    if _ADDRESS.search(text) or kind in HOSTS or (kind in FILES and _SCHEME.match(text)):
        return "name an address on the network"
    if _ELSEWHERE.match(text):
        return "name a place outside of the current folder"
    if ".." in re.split(r"[/\\]", text):
        return "name a folder above"
    is_word = re.fullmatch(r"\w+", text) is not None
    if is_word and (kind not in PLACES or kind == text == OUTPUTS):
        return None
    return "name a link out of the current folder" if _leads_out(text) else None


def _written_by(resolved: Resolved, key: str) -> Origin | None:
    """Return the least trusted origin of a value, or of everything below it."""
    found = resolved.origins.get(key)
    if found is None:
        for name, origin in resolved.origins.items():
            if name.startswith((f"{key}.", f"{key}[")):
                found = least_of(found, origin)
    return found


def _places(tree: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the addresses of texts, and of keys, that a file may not hold, with the reason."""
    for key, node in mappings(tree):
        for name in node:
            if (reason := reason_against("", name)) is not None:
                yield join(key, str(name)), reason
    for key, value in leaves(tree):
        if (reason := reason_against(key.rpartition(".")[2], value)) is not None:
            yield key, reason


def _beyond_the_harmless(tree: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the arguments that would send or show more than the user's own settings say."""
    for key, node in target_nodes(tree):
        for tracker, arguments in HARMLESS.items():
            if str(node["_target_"]).endswith(tracker):
                for name, (harmless, reason) in arguments.items():
                    if name in node and node[name] not in harmless:
                        yield join(key, name), reason


def _leads_out(value: str) -> bool:
    """Whether a relative path exists and is in truth somewhere else."""
    try:
        here = Path.cwd().resolve()
        path = here / value
        return path.exists() and not path.resolve().is_relative_to(here)
    except (OSError, ValueError):
        return False
