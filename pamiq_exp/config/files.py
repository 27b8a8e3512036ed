"""How Hydra reads config files here: within limits, and with an account of what is wrong and where."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import yaml
from hydra._internal.core_plugins.file_config_source import FileConfigSource as HydraFileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config.lines import BROKEN, invalid, read_nodes
from pamiq_exp.config.problems import ConfigError, Origin, Problem

MAIN = "config.yaml"


@cache
def config_folder() -> Path:
    """Return the folder of the shipped configs: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / MAIN).is_file():
            return folder
    raise FileNotFoundError(f"the configs of pamiq_exp are missing beside {package}: install the package again")


def is_shipped(path: Path) -> bool:
    """Whether a config file came with the package."""
    return path.resolve().is_relative_to(config_folder())


class FileConfigSource(HydraFileConfigSource):
    """Hydra's reader of files, which it finds by this name; files of others are looked through before they are read."""

    def load_config(self, config_path: str) -> ConfigResult:
        """See the base class. Raises ConfigError for a file that is no config or is beyond the limits."""
        path = Path(self.path) / self._normalize_file_name(config_path)
        if not path.is_file():
            return super().load_config(config_path)
        try:
            stat = path.stat()
            plain, header = _read(path, stat.st_mtime_ns, stat.st_size)
            config = OmegaConf.create(plain) if isinstance(plain, dict) else None
        except yaml.YAMLError as error:
            raise invalid(path, error) from error
        except (*BROKEN, OmegaConfBaseException, OSError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise _unreadable(path, f"{path.name} is no config: {reason}") from error
        if not isinstance(config, DictConfig):
            raise _unreadable(path, f"{path.name} holds no keys and values")
        return ConfigResult(self.provider, f"{self.scheme()}://{self.path}", config, dict(header))


@lru_cache(maxsize=1000)
def _read(path: Path, changed: int, size: int) -> tuple[object, dict[str, str | None]]:
    """Read a file once in a process, as long as it stays the same: a check and a run read all of them several times."""
    if not is_shipped(path):
        read_nodes(path)
    text = path.read_text(encoding="utf-8")
    plain = yaml.load(text, Loader=get_yaml_loader())
    return {} if plain is None else plain, ConfigSource._get_header_dict(text[:512])


def _unreadable(path: Path, message: str) -> ConfigError:
    return ConfigError(Problem("", message, "a config file holds keys and values: key: value", Origin.of_file(path, 1)))


@cache
def use_checked_files() -> None:
    """Have Hydra read files this way in this process. May be called again."""
    Plugins.instance()  # registers Hydra's own reader, which would refuse to be second
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
