"""How Hydra reads config files here: within limits, and with an account of what is wrong and where."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException
from omegaconf.grammar_parser import parse

from pamiq_exp.config.errors import ConfigError, ErrorDetail, Origin
from pamiq_exp.config.hydra_internals import FileConfigSource as HydraFileConfigSource
from pamiq_exp.config.hydra_internals import SourcesRegistry, yaml_loader
from pamiq_exp.config.trust import TRUST_FLAG, is_trusted
from pamiq_exp.config.yaml_files import BROKEN, invalid, line_of, read_text, read_text_nodes
from pamiq_exp.option_files import TOGETHER, Option, config_folder, find_file, leads_out, options_together


def is_shipped(path: Path) -> bool:
    """Whether a config file came with the package."""
    return path.resolve().is_relative_to(config_folder())


@dataclass(kw_only=True)
class ReadConfig(ConfigResult):
    """What Hydra is given for a config file, with the file.

    Attributes:
        file: What messages call it.
        option: Its text.
        folder: The config folder that it was found in; None for a text that a run has kept.
    """

    file: Path
    option: Option
    folder: Path | None


class FileConfigSource(HydraFileConfigSource):
    """Hydra's reader of files, which it finds by this name; files of others are looked through before they are read."""

    def load_config(self, config_path: str) -> ConfigResult:
        """See the base class. Raises ConfigError for a file that is no config or is beyond the limits."""
        place, folder = config_path.removesuffix(".yaml"), Path(self.path)
        path = find_file(folder, place)
        if path is None:
            return super().load_config(config_path)
        if leads_out(path, folder) and not is_trusted(path):
            message = f"{path.name} is a link out of its config folder, to {os.path.realpath(path)}"
            hint = f"put the file itself there, or say once that what it leads to is yours: {TRUST_FLAG} DIR"
            raise ConfigError(ErrorDetail("", message, hint, Origin.of_file(path)))
        stat = path.stat()
        option, config, header = _read(path, place, stat.st_mtime_ns, stat.st_size)
        found = deepcopy(config), dict(header)
        return ReadConfig(self.provider, self.full_path(), *found, file=path, option=option, folder=folder)

    def is_config(self, config_path: str) -> bool:
        """See the base class."""
        return find_file(Path(self.path), config_path.removesuffix(".yaml")) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """See the base class."""
        found = set(super().list(config_path, results_filter)) - {TOGETHER.removesuffix(".yaml")}
        if results_filter == ObjectType.GROUP:  # `_parents` holds what options are made from, and none to choose
            found = {each for each in found if not each.startswith("_")}
        else:
            found.update(options_together(Path(self.path, config_path, TOGETHER), Path(self.path)))
        return sorted(found)


@lru_cache(maxsize=1000)
def _read(path: Path, place: str, changed: int, size: int) -> tuple[Option, DictConfig, dict[str, str | None]]:
    """Read a config once in a process, as long as its file stays the same."""
    option = read_option(path, place)
    return option, *read_yaml(path, option.in_place, checked=not is_shipped(path))


def read_option(path: Path, place: str) -> Option:
    """Return a config in the file that holds it.

    Args:
        path: The file.
        place: The config's place in a config folder, without `.yaml`.

    Raises:
        ConfigError: The file cannot be read, is too large, or no longer holds the config.
    """
    if path.name != TOGETHER:
        return Option("", read_text(path))
    option = options_together(path, path.parents[place.count("/")]).get(Path(place).name)
    if option is None:
        raise _unreadable(path, f"{path.name} no longer holds {Path(place).name}")
    return option


def read_yaml(path: Path, text: str, *, checked: bool = True) -> tuple[DictConfig, dict[str, str | None]]:
    """Return what a config file says, and its header.

    Args:
        path: Its name, for messages.
        text: Its text.
        checked: Look for what is beyond the limits first.

    Raises:
        ConfigError: It is no config, or beyond the limits.
    """
    try:
        if checked:
            read_text_nodes(path, text)
        plain = yaml.load(text, Loader=yaml_loader())
        config = OmegaConf.create({} if plain is None else plain) if plain is None or isinstance(plain, dict) else None
        header = ConfigSource._get_header_dict(text[:512])
    except yaml.YAMLError as error:
        raise invalid(path, error) from error
    except GrammarParseError as error:
        line = line_of(read_text_nodes(path, text), _is_broken_expression)
        message = f"a text with ${{...}} cannot be read: {str(error).splitlines()[0]}"
        hint = "write ${key} or ${resolver:argument}"
        raise ConfigError(ErrorDetail("", message, hint, Origin.of_file(path, line))) from error
    except (*BROKEN, OmegaConfBaseException, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise _unreadable(path, f"{path.name} is no config: {reason}") from error
    if not isinstance(config, DictConfig):
        raise _unreadable(path, f"{path.name} holds no keys and values")
    return config, header


def plain_file(path: Path) -> dict[str, Any]:
    """Return what a file says that a run or `export` has written, as plain data. Raises ConfigError if it is none."""
    if not os.path.isfile(path):
        message = f"there is no {path.absolute()}"
        raise ConfigError(ErrorDetail("", message, "name the folder of a run, or a file that `export` wrote"))
    plain = OmegaConf.to_container(read_yaml(path, read_text(path))[0], resolve=False)
    assert isinstance(plain, dict)
    if "hydra" in plain:
        message = "no run keeps it, and a config that was written by others may not set up Hydra"
        raise ConfigError(ErrorDetail("hydra", message, "take it out of the file", Origin.of_file(path)))
    return {str(key): value for key, value in plain.items()}


def _is_broken_expression(text: str) -> bool:
    if "${" not in text:
        return False
    try:
        parse(text)
    except GrammarParseError:
        return True
    return False


def _unreadable(path: Path, message: str) -> ConfigError:
    return ConfigError(
        ErrorDetail("", message, "a config file holds keys and values: key: value", Origin.of_file(path, 1))
    )


@cache
def use_checked_files() -> None:
    """Have Hydra read files this way in this process. May be called again."""
    Plugins.instance()  # registers Hydra's own reader, which would refuse to be second
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
