"""Hydra's own node: what a config file may not change, because Hydra would run code for it before we could look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config.compose import Source, compose_config, parse_overrides
from pamiq_exp.config.origins import only_shipped
from pamiq_exp.config.problems import Problem

FILLED_IN_BY_HYDRA = ("job.config_name", "job.id", "job.num", "job.override_dirname", "mode", "overrides", "runtime")


def check_hydra(config: DictConfig, overrides: Sequence[str], source: Source = Source()) -> list[Problem]:
    """Return every setting below `hydra` that comes from an experiment or another chosen file.

    Callbacks, logging handlers, environment variables, launchers and output folders are set up by Hydra before a
    job begins. So they come from the shipped config and from what the user types, and from nowhere else.

    Args:
        config: A composed config, with Hydra's node.
        overrides: What the user typed for it.
        source: Where it came from.
    """
    if only_shipped(config):
        return []
    own = tuple(each.input_line or "" for each in parse_overrides(overrides) if _is_hydras(each.key_or_group))
    expected = _expected(own, None if source.folder is None else str(Path(source.folder).resolve()))
    found = dict(_settings(config))
    remedy = "leave it out of config files; on the command line it can be set"
    return [
        Problem(f"hydra.{key}", "may not be set by a config file", remedy)
        for key in sorted(expected.keys() | found.keys())
        if expected.get(key) != found.get(key)
    ]


def _is_hydras(key: str) -> bool:
    return re.split("[./]", key)[0] == "hydra"


@lru_cache
def _expected(overrides: tuple[str, ...], folder: str | None) -> dict[str, object]:
    """What stands below `hydra` without an experiment; the same for all jobs of a sweep."""
    return dict(_settings(compose_config(overrides, Source(folder=folder))))


def _settings(config: DictConfig) -> Iterator[tuple[str, object]]:
    node = OmegaConf.to_container(config.hydra, resolve=False, throw_on_missing=False)
    for key, value in _leaves(node):
        if not any(key == skipped or key.startswith(f"{skipped}.") for skipped in FILLED_IN_BY_HYDRA):
            yield key, value


def _leaves(node: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}".removeprefix("."))
    else:
        yield key, node
