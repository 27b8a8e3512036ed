"""Names that do not fit together, and keys that nothing reads: what a tree shows without importing anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from difflib import get_close_matches
from typing import Any

from pamiq_exp.config.checks.expressions import PLAIN_REFERENCE, UNKNOWN, Resolved
from pamiq_exp.config.errors import ErrorDetail, nearest
from pamiq_exp.config.tree_paths import join, leaves, parent

OWN_TRAINERS = "pamiq_exp.trainers."

GROUP_OF_ARGUMENT = {"model": "models", "buffer": "buffers"}
"""Arguments of our trainers that name a part, and the group that it belongs to."""

READ_BY_US = ("paths.outputs",)
MOST_COMPARED = 200
"""References among which a likely one is looked for."""


def name_errors(tree: Mapping[str, Any]) -> Iterator[ErrorDetail]:
    """Yield the models and buffers that trainers name and that are not declared.

    What agents, rewards and the user's own trainers ask for shows in the dry run (see `perform_dry_run`).
    """
    trainers = tree.get("trainers")
    for name, node in trainers.items() if isinstance(trainers, Mapping) else ():
        if not isinstance(node, Mapping) or not str(node.get("_target_")).startswith(OWN_TRAINERS):
            continue
        for argument, group in GROUP_OF_ARGUMENT.items():
            wanted = node.get(argument)
            declared = tree.get(group)
            there = [str(each) for each, part in declared.items() if part is not None] if declared else []
            if isinstance(wanted, str) and "${" not in wanted and wanted != "???" and wanted not in there:
                key = join(join("trainers", name), argument)
                hint = nearest(wanted, there, listing="there are") or f"declare it below {group}"
                yield ErrorDetail(key, f"there is no {argument} '{wanted}'", hint)


def unread_keys(resolved: Resolved, hydra: object = None, anchored: Set[str] = frozenset()) -> Iterator[ErrorDetail]:
    """Yield the values that are set for others to refer to, and that nothing refers to.

    Args:
        resolved: The config, filled in.
        hydra: Hydra's node, which may refer to it too.
        anchored: Keys whose values stand elsewhere by an alias of YAML, and are read there.
    """
    read = resolved.read | {name for _, text in leaves(hydra) for name in PLAIN_REFERENCE.findall(str(text))}
    if UNKNOWN in read:
        return
    used = read | anchored
    for group in ("shared", "paths"):
        for key, _ in leaves(resolved.tree.get(group), group):
            if key == group or key in READ_BY_US or key in used or not used.isdisjoint(_above(key)):
                continue
            message = f"nothing reads it: no other key refers to ${{{key}}}"
            close = get_close_matches(key, read, n=1, cutoff=0.8) if len(read) < MOST_COMPARED else []
            yield ErrorDetail(key, message, f"leave it out, or did you mean {close[0]}?" if close else "leave it out")


def _above(key: str) -> Iterator[str]:
    while key := parent(key):
        yield key
