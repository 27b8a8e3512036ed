"""Hydra's own node: what a config file may not set, because Hydra would run code for it before anything is checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config.errors import ErrorDetail, Origin
from pamiq_exp.config.tree_paths import leaves

HARMLESS_CHOICES: Mapping[str, tuple[str, ...]] = {
    "hydra/hydra_logging": ("none", "default"),
    "hydra/job_logging": ("none", "default"),
}
"""Choices of Hydra's groups that the shipped config makes, or Hydra itself; of every other group its own default."""
OWN_DEFAULT = {"hydra/launcher": "basic", "hydra/sweeper": "basic", "hydra/env": "default"}
HINT = "leave it out of config files; on the command line it can be set"


def setting_errors(config: DictConfig, origin: Origin) -> list[ErrorDetail]:
    """Return every key below `hydra` that a file sets which did not come with the package."""
    tree = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    node = tree.get("hydra") if isinstance(tree, Mapping) else None
    keys = [key for key, _ in leaves(node, "hydra")]
    return [ErrorDetail(key, "may not be set by a config file", HINT, origin) for key in keys]


def choice_error(group: str, choice: str, typed: Collection[str]) -> ErrorDetail | None:
    """Return what is wrong with a choice of one of Hydra's groups, which a file has made instead of the user."""
    if not group.startswith("hydra/") or group in typed or choice in HARMLESS_CHOICES.get(group, ()):
        return None
    if choice in (OWN_DEFAULT.get(group, "default"), "None"):
        return None
    return ErrorDetail(group.replace("/", "."), f"{choice} may not be chosen by a config file", HINT)
