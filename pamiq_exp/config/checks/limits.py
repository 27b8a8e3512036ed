"""How much a config may ask for: what is beyond these is a slip or an attack, and would harm the machine first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from pamiq_exp.config.errors import ErrorDetail
from pamiq_exp.config.tree_paths import join, leaves, target_nodes

MOST_THREADS = max(64, 4 * (os.cpu_count() or 1))
"""Threads or processes that one part may start on this machine."""

MOST_VALUES = 100_000
"""Keys, values and items of a config, with all that references bring along."""
MOST_CHARACTERS = 2_000_000
"""Characters of it."""
LONGEST_WAY = 32
"""Interpolations that may lead to one another before there is a value."""
MOST_BITS = 1024
"""Binary digits of a whole number."""

MOST_ACTORS = 4096
MOST_ENVS = 100_000
MOST_PICTURES = 100_000
MOST_PIXELS = 8192
MOST_STEPS = 10**12
MOST_SECONDS = 10 * 366 * 24 * 3600
"""Ten years."""

BY_NAME: Mapping[str, tuple[int, str]] = {
    "num_envs": (MOST_ENVS, "environments"),
    "n_jobs": (MOST_THREADS, "processes"),
    "num_workers": (MOST_THREADS, "processes"),
    "image_size": (MOST_PIXELS, "pixels a side"),
    "pool": (MOST_PICTURES, "pictures"),
    "processes": (MOST_THREADS, "processes"),
    "threads": (MOST_THREADS, "threads"),
    "workers": (MOST_THREADS, "processes"),
}
"""Keys that ask for something of the machine wherever they stand."""

BY_ADDRESS: Mapping[str, tuple[int, str]] = {
    "launcher.actors": (MOST_ACTORS, "processes of a cluster"),
    "launcher.max_seconds": (MOST_SECONDS, "seconds"),
    "launcher.max_steps": (MOST_STEPS, "steps"),
    "launcher.threads.inference": (MOST_THREADS, "threads"),
    "launcher.threads.training": (MOST_THREADS, "threads"),
}


def limit_errors(tree: Mapping[str, object]) -> Iterator[ErrorDetail]:
    """Yield the numbers of a plain tree that are beyond what a config may ask for."""
    for key, value in leaves(tree):
        yield from number_errors(key, BY_ADDRESS.get(key) or BY_NAME.get(key.rpartition(".")[2]), value)
    for key, node in target_nodes(tree):
        if node.get("vectorization") == "async":
            processes = MOST_THREADS, "environments in processes of their own"
            yield from number_errors(join(key, "num_envs"), processes, node.get("num_envs"))


def number_errors(key: str, ceiling: tuple[int, str] | None, value: object) -> Iterator[ErrorDetail]:
    """Yield what is wrong with a number of which there is at most so much."""
    if ceiling is None or isinstance(value, bool) or not isinstance(value, (int, float)) or value <= ceiling[0]:
        return
    most, of_what = ceiling
    yield ErrorDetail(key, f"asks for {value:,} {of_what}; at most {most:,} are given here", "ask for fewer")
