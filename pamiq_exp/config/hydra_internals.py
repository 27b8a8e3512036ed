"""Private modules of Hydra and OmegaConf that this package uses, and what their versions call otherwise."""

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path, get_args_parser
from omegaconf import OmegaConf

try:
    from omegaconf._yaml import get_yaml_loader  # type: ignore[import-not-found] # OmegaConf 2.4
except ImportError:
    from omegaconf._utils import get_yaml_loader

register_resolver = getattr(OmegaConf, "register_resolver", OmegaConf.register_new_resolver)
"""Its name in OmegaConf 2.4, else the earlier one."""

__all__ = [
    "BasicSweeper",
    "CachingConfigRepository",
    "Callbacks",
    "ConfigLoaderImpl",
    "FileConfigSource",
    "Hydra",
    "IConfigRepository",
    "SourcesRegistry",
    "create_config_search_path",
    "get_args_parser",
    "get_yaml_loader",
    "register_resolver",
]
