"""What a config was composed from, kept with its run, so that it can be composed again with other choices.

A resolved config cannot take another choice of a group, and the files that it came from may have changed since. So a
run keeps the text of every file that took part. Composing again, those texts come before the files of today, which
offer what the run did not choose.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config.compose import CONFIG_NAME, Source, _hydra, compose_config, parse_overrides
from pamiq_exp.config.files import config_folder
from pamiq_exp.config.freeze import config_files
from pamiq_exp.config.guard import check_hydra
from pamiq_exp.config.lines import read_nodes
from pamiq_exp.config.problems import ConfigError, Problem
from pamiq_exp.files import read_yaml

_UNPACKED: list[TemporaryDirectory[str]] = []
_NAME = re.compile(r"(?!\.)[\w.@ +-]+(/(?!\.)[\w.@ +-]+)*")


@dataclass(frozen=True)
class Composition:
    """How a config came about.

    Attributes:
        name: The primary config.
        overrides: What was typed, without what is meant for Hydra itself.
        files: Texts of the files that took part, by their place in a config folder, without `.yaml`.
    """

    name: str
    overrides: tuple[str, ...]
    files: Mapping[str, str]

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"name": self.name, "overrides": list(self.overrides), "files": dict(self.files)}

    @classmethod
    def read(cls, path: Path) -> Composition | None:
        """Read what a run has kept; None if it kept nothing. Raises ConfigError for what nobody can have composed."""
        if not os.path.lexists(path):
            return None
        read_nodes(path)  # within limits?
        try:
            return cls._from_plain(read_yaml(path))
        except (OSError, ValueError) as error:
            raise ConfigError(Problem("", f"{path} is not what a run keeps: {error}", "start it anew")) from error

    @classmethod
    def _from_plain(cls, plain: object) -> Composition:
        if not isinstance(plain, dict) or plain.keys() != {"name", "overrides", "files"}:
            raise ValueError("expected name, overrides and files")
        name, overrides, files = plain["name"], plain["overrides"], plain["files"]
        if not isinstance(overrides, list) or not isinstance(files, dict) or name not in files:
            raise ValueError("expected a list of overrides, and texts by name")
        if not all(isinstance(text, str) for text in [*overrides, *files.values()]):
            raise ValueError("expected texts")
        if wrong := [place for place in files if not isinstance(place, str) or not _NAME.fullmatch(place)]:
            raise ValueError(f"{wrong[0]!r} is no place in a config folder")
        return cls(name, tuple(overrides), files)


def record_composition(overrides: Sequence[str], source: Source = Source()) -> Composition:
    """Return what `compose_config` makes its config from. Raises ConfigError as it does."""
    folders = [Path(source.main) if source.main else config_folder(), *_search_path(overrides)]
    folders += [Path(source.folder)] if source.folder else []
    own = [f"hydra.searchpath={[f'file://{Path(folder).resolve()}' for folder in folders[1:]]}"]
    with _loader_for(source) as loader:
        defaults = loader.compute_defaults_list(source.name, [*_without_hydra(overrides), *own], RunMode.RUN).defaults
    places = dict.fromkeys(str(each.config_path) for each in defaults if each.config_path is not None)
    found = ((place, _find(place, folders)) for place in places)
    texts = {place: path.read_text(encoding="utf-8") for place, path in found if path is not None}
    return Composition(source.name, tuple(_without_hydra(overrides)), texts)


def compose_again(
    composition: Composition, changes: Sequence[str] = (), source: Source = Source()
) -> tuple[DictConfig, Composition]:
    """Compose a config from what a run has kept, with further overrides on top.

    Args:
        composition: What it was composed from. Nothing in it is trusted.
        changes: What is typed now: values and choices of groups.
        source: Where choices are looked for that the run did not make.

    Returns:
        The config, and what it was composed from.

    Raises:
        ConfigError: It cannot be composed so, or it would set up Hydra itself.
    """
    overrides = [*composition.overrides, *changes]
    parsed = parse_overrides(overrides)
    if problems := [_not_for_hydra(each.key_or_group) for each in parsed if _is_hydras(each.key_or_group)]:
        raise ConfigError(problems)
    unpacked = _unpacked(composition, source)
    config = compose_config(overrides, unpacked)
    if problems := check_hydra(config, overrides):
        raise ConfigError(problems)
    return config, record_composition(overrides, unpacked)


@contextmanager
def _loader_for(source: Source) -> Iterator[ConfigLoader]:
    """The loader of the program that Hydra runs, or else one for the time being."""
    if GlobalHydra.instance().is_initialized():
        yield GlobalHydra.instance().config_loader()
        return
    with _hydra(source):
        yield GlobalHydra.instance().config_loader()


def _unpacked(composition: Composition, source: Source) -> Source:
    """Lay the files of a run, as far as they are other ones, over those of today.

    They lie in a folder of their own until the program ends: problems are traced to files later. Links lead to all
    others, so that files which came with the package are known as such.
    """
    folder = TemporaryDirectory(prefix="pamiq_exp_")
    _UNPACKED.append(folder)
    target = Path(folder.name)
    base = Path(source.main) if source.main else config_folder()
    for each in (base, *([Path(source.folder)] if source.folder else [])):
        for path in config_files(each):
            link = target / path.relative_to(each)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to(path.resolve())
    for place, text in composition.files.items():
        kept = _with_our_hydra(text) if place == composition.name else text
        path = target / f"{place}.yaml"
        if not path.exists() or path.read_text(encoding="utf-8") != kept:
            path.unlink(missing_ok=True)
            _write(path, kept)
    return Source(composition.name, None, str(target))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _with_our_hydra(text: str) -> str:
    """Return a primary config with the node `hydra` of the one that is installed: a run has no say in that."""
    path = config_folder() / f"{CONFIG_NAME}.yaml"
    shipped = path.read_text(encoding="utf-8")
    if text == shipped:
        return text
    try:
        config, ours = OmegaConf.create(text), OmegaConf.create(shipped)
        if not isinstance(config, DictConfig) or not isinstance(ours, DictConfig):
            raise ValueError("expected keys and values")
        defaults = config.get("defaults") or ["_self_"]
        kept = [each for each in _entries(defaults) if not _chooses_for_hydra(each)]
        config.defaults = kept + [each for each in _entries(ours.defaults) if _chooses_for_hydra(each)]
        config.hydra = ours.hydra
        return OmegaConf.to_yaml(config)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(Problem("", f"the config that the run kept cannot be read: {error}")) from error


def _entries(defaults: ListConfig | list[Any]) -> list[Any]:
    plain = OmegaConf.to_container(defaults, resolve=False) if OmegaConf.is_config(defaults) else defaults
    return plain if isinstance(plain, list) else []


def _chooses_for_hydra(entry: object) -> bool:
    words = str(next(iter(entry), "") if isinstance(entry, dict) else entry).split()
    return bool(words) and _is_hydras(words[-1].lstrip("/"))


def _is_hydras(key: str) -> bool:
    return re.split("[./@]", key)[0] == "hydra"


def _not_for_hydra(key: str) -> Problem:
    return Problem(key, "cannot be set for a run that has begun", "leave it out")


def _without_hydra(overrides: Iterable[str]) -> list[str]:
    return [word for word in overrides if not _is_hydras(word.lstrip("+~").partition("=")[0])]


def _search_path(overrides: Sequence[str]) -> list[Path]:
    """The folders that `hydra.searchpath=[...]` names."""
    for each in parse_overrides(overrides):
        if each.key_or_group == "hydra.searchpath" and isinstance(paths := each.value(), list):
            return [Path(str(path).removeprefix("file://")) for path in paths if "pkg://" not in str(path)]
    return []


def _find(place: str, folders: Sequence[Path]) -> Path | None:
    return next((path for folder in folders if (path := folder / f"{place}.yaml").is_file()), None)


def source_of(settings: DictConfig) -> Source:
    """Return where the config of a job came from, as Hydra's own node `hydra` tells it."""
    places = {str(each.provider): str(each.path) for each in settings.runtime.config_sources if each.schema == "file"}
    return Source(str(settings.job.config_name), places.get("command-line"), places.get("main"))
