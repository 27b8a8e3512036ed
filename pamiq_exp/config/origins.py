"""Which file and line set a key of a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from hydra import initialize_config_dir
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config.files import is_shipped
from pamiq_exp.config.keys import join, parent
from pamiq_exp.config.lines import Node, read_nodes
from pamiq_exp.config.problems import COMMAND_LINE, Origin, Problem

Origins = dict[str, Origin]
"""What set each key, by address: `models.encoder.width`, `trainers[0].seed`."""


def origins(config: DictConfig) -> Origins:
    """Return what set each key of a composed config, in the order in which Hydra laid its files over each other.

    Args:
        config: What `compose_config` returned: with Hydra's own node, which tells the files and the command line.

    Raises:
        ConfigError: If a file cannot be read any more.
    """
    files, typed = _parts(config)
    table: Origins = {}
    for default, result in files:
        path = _path_of(result, default.config_path or "")
        if path is not None and (node := read_nodes(path)) is not None:
            _lay(table, _package(default, result), node, path, top=True)
    for override in typed:
        _lay_typed(table, override)
    return table


def foreign_files(config: DictConfig) -> list[Path]:
    """Return the files that took part in a composed config and did not come with the package, in their order."""
    if only_shipped(config):
        return []
    found = [_path_of(result, default.config_path or "") for default, result in _parts(config)[0]]
    return [path for path in dict.fromkeys(found) if path is not None and not is_shipped(path)]


def only_shipped(config: DictConfig) -> bool:
    """Whether a config could be composed of nothing but what came with the package and with Hydra."""
    sources = config.hydra.runtime.config_sources
    others = [each for each in sources if each.schema != "structured" and each.provider != "hydra"]
    return all(each.schema == "file" and is_shipped(Path(str(each.path))) for each in others)


def _parts(config: DictConfig) -> tuple[list[tuple[ResultDefault, ConfigResult | None]], list[Override]]:
    """Return the files of a composed config in their order, and what was typed on top."""
    settings = config.hydra
    main = next(each.path for each in settings.runtime.config_sources if each.provider == "main")
    # Unresolved: a word may hold an interpolation that leads nowhere, which is what is to be told.
    typed = cast("dict[str, list[str]]", OmegaConf.to_container(settings.overrides, resolve=False))
    words = [*typed["hydra"], *typed["task"]]
    with initialize_config_dir(version_base=settings.runtime.version_base, config_dir=main, job_name=settings.job.name):
        loader = GlobalHydra.instance().config_loader()
        found = loader.compute_defaults_list(settings.job.config_name, words, RunMode.RUN)
        _, repository = loader._parse_overrides_and_create_caching_repo(None, words)  # type: ignore[attr-defined]
        files = [(each, repository.load_config(each.config_path)) for each in found.defaults if each.config_path]
    return files, list(found.config_overrides)


def origins_of_file(path: Path) -> Origins:
    """Return the line of each key of a file that holds a whole config, such as a run folder keeps.

    Raises:
        ConfigError: If it is no YAML file.
    """
    table: Origins = {}
    node = read_nodes(path)
    if node is not None:
        _lay(table, "", node, path, top=False)
    return table


def origin_of(key: str, table: Mapping[str, Origin]) -> Origin | None:
    """Return what set `key` (of a node its `_target_`), or, where nothing did, the node that it belongs to."""
    while key:
        for candidate in (join(key, "_target_"), key):
            if candidate in table:
                return table[candidate]
        key = parent(key)
    return None


def located(problems: Iterable[Problem], table: Mapping[str, Origin]) -> list[Problem]:
    """Return the problems with what set their keys."""
    return [each if each.origin is not None else replace(each, origin=origin_of(each.key, table)) for each in problems]


def _path_of(result: ConfigResult | None, config_path: str) -> Path | None:
    """The file of a loaded config; None for what comes with Hydra."""
    if result is None or not result.path.startswith("file://"):
        return None
    name = config_path if config_path.endswith((".yaml", ".yml")) else f"{config_path}.yaml"
    return Path(result.path.removeprefix("file://")) / name


def _package(default: ResultDefault, result: ConfigResult | None) -> str:
    """Where a file's keys go in the whole config."""
    header = result.header["package"] if result is not None else None
    package = default.package if default.package is not None else header
    return "" if package in (None, "_global_") else str(package)


def _lay(table: Origins, key: str, node: Node, path: Path, *, top: bool = False) -> None:
    """Lay a node of a file over what is there: mappings are merged, everything else is replaced."""
    origin = Origin.of_file(path, node.line)
    if node.kind == "mapping":
        for name, value in node.entries():
            if top and name.text == "defaults":
                continue
            below = join(key, name.text)
            _lay(table, below, value, path)
            table[below] = Origin.of_file(path, name.line)
        if key:
            table[key] = origin
        return
    _forget_below(table, key)
    if key:
        table[key] = origin
    for index, item in enumerate(node.children):
        _lay(table, join(key, index), item, path)


def _lay_typed(table: Origins, override: Override) -> None:
    key = override.key_or_group
    if override.is_delete():
        _forget_below(table, key)
        table.pop(key, None)
        return
    origin = Origin(COMMAND_LINE, text=override.input_line or key)
    value = None if override.is_sweep_override() else override.value()
    if not isinstance(value, Mapping):
        _forget_below(table, key)
    for name in _keys_below(value, key):
        table[name] = origin


def _keys_below(value: object, key: str) -> Iterable[str]:
    yield key
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _keys_below(item, join(key, str(name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _keys_below(item, join(key, index))


def _forget_below(table: Origins, key: str) -> None:
    if key in table:
        for name in [name for name in table if name.startswith((f"{key}.", f"{key}["))]:
            del table[name]
