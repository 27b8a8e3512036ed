"""Values that only the user may give: places on this machine and on the network, and what is sent there.

Values are judged as they are filled in, by the least trusted that had a say in them. What the user typed, what came
with the package and what lies in a folder that the user trusts may name everything; every other file may name files
below the folder where the user stands, and nothing else. This is the one list of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pamiq_exp.config.checks.expressions import Resolved
from pamiq_exp.config.errors import ErrorDetail, Origin, least
from pamiq_exp.config.tree_paths import join, target_nodes
from pamiq_exp.config.trust import TRUST_FLAG

_ADDRESS = re.compile(
    r"://|^(file|data|pipe):|^[\w.-]+@[\w.-]+:|^\\\\|^[\w-]+(\.[\w-]+)+:\d+$|^\d+(\.\d+){3}$|^\[?[\dA-Fa-f]*:[\dA-Fa-f]*:[\dA-Fa-f:.]*\]?$"
)
_ELSEWHERE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]")
_SCHEME = re.compile(r"[A-Za-z][\w+.,-]*:")
HOSTS = ("address", "endpoint", "host", "hostname", "hosts", "ip", "server", "servers", "uri", "url", "urls")
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
WANDB = "WandbTracker"
DASHBOARD = "DashboardTracker"
_MORE_OF_A_PAGE = {
    "control": "let a page control the run",
    "browser": "open a browser",
    "_args_": "give the settings of a page by position",
}


def value_errors(resolved: Resolved) -> Iterator[ErrorDetail]:
    """Yield the values of files that lead out of the current folder or to another machine.

    Args:
        resolved: A config that is filled in, with who wrote what; without that all of it is the user's own.
    """
    if not resolved.origins:
        return
    for key, reason in (*_places(resolved.tree, ""), *_sending(resolved.tree), *_pages(resolved.tree)):
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
    if not text or text in LOOPBACK:
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
    """Return who had a say in a value, or in all that lies below it."""
    if key in resolved.origins:
        return resolved.origins[key]
    found: Origin | None = None
    for name, origin in resolved.origins.items():
        if name.startswith((f"{key}.", f"{key}[")):
            found = origin if found is None else least(found, origin)
    return found


def _places(node: object, key: str) -> Iterator[tuple[str, str]]:
    """Yield the addresses of texts, and of keys, that a file may not hold, with the reason."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            address = join(key, str(name))
            if (reason := reason_against("", name)) is not None:
                yield address, reason
            yield from _places(value, address)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _places(value, join(key, index))
    elif (reason := reason_against(key.rpartition(".")[2], node)) is not None:
        yield key, reason


def _sending(tree: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what would send more than records, or send at all where the user's settings do not."""
    for key, node in target_nodes(tree):
        if not str(node["_target_"]).endswith(WANDB):
            continue
        if node.get("mode", "auto") not in ("auto", "offline", "disabled"):
            yield join(key, "mode"), "put W&B online"
        if node.get("upload_media") not in (None, False):
            yield join(key, "upload_media"), "send pictures to W&B"
        if node.get("_args_"):
            yield join(key, "_args_"), "give W&B's settings by position"


def _pages(tree: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what starts a page in the browser, or lets it do more than show the run."""
    for key, node in target_nodes(tree):
        if str(node["_target_"]).endswith(DASHBOARD):
            yield join(key, "_target_"), "start the page of a run"
            yield from ((join(key, name), reason) for name, reason in _MORE_OF_A_PAGE.items() if node.get(name))


def _leads_out(value: str) -> bool:
    """Whether a relative path exists and is in truth somewhere else."""
    try:
        here = Path.cwd().resolve()
        path = here / value
        return path.exists() and not path.resolve().is_relative_to(here)
    except (OSError, ValueError):
        return False
