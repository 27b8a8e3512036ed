"""Private modules of Hydra and OmegaConf that this package uses, and what their versions call otherwise."""

from collections.abc import Callable
from functools import cache
from typing import Any

import yaml
from hydra._internal import defaults_list
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import create_config_search_path, get_args_parser
from omegaconf import OmegaConf
from omegaconf import __version__ as omegaconf_version

try:
    from omegaconf._yaml import get_yaml_loader  # type: ignore[import-not-found] # OmegaConf 2.4
except ImportError:
    from omegaconf._utils import get_yaml_loader

_OMEGACONF = tuple(map(int, omegaconf_version.split(".")[:2]))
register_resolver: Callable[..., None] = getattr(
    OmegaConf, "register_new_resolver" if _OMEGACONF < (2, 4) else "register_resolver"
)
"""By the name that OmegaConf has for it: in 2.4 that of a function which took other arguments before."""


def _skip_needless_maps() -> None:
    """Have Hydra make its map of all choices only where an entry of a defaults list refers to one.

    Hydra 1.3 makes one for every entry, which is a third of the time in which it puts a config together.
    """
    make_map = getattr(defaults_list, "_create_interpolation_map", None)
    if make_map is None:  # Hydra 1.4 does without
        return

    def map_where_needed(overrides: Any, entries: list[Any], *rest: Any) -> Any:
        return make_map(overrides, entries, *rest) if any(each.is_interpolation() for each in entries) else None

    vars(defaults_list)["_create_interpolation_map"] = map_where_needed


_skip_needless_maps()


@cache
def yaml_loader() -> Any:
    """Return OmegaConf's reader of YAML, with the parser of the C library, ten times as fast, where it is there."""
    slow = get_yaml_loader()
    fast = getattr(yaml, "CSafeLoader", None)
    if fast is None or issubclass(slow, fast):  # OmegaConf 2.4 takes the fast one by itself
        return slow
    own = {name: getattr(slow, name) for name in ("yaml_implicit_resolvers", "yaml_constructors")}
    return type("Loader", (fast, slow), own)


def raw_name(name: object) -> str:
    """Return the text of a reference as OmegaConf's grammar hands it over: in 2.4 it stands in an object."""
    return str(getattr(name, "raw", name))


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
    "create_defaults_list",
    "get_args_parser",
    "raw_name",
    "register_resolver",
    "yaml_loader",
]
