"""From the command line to one config tree, or to a clear account of why there is none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config.checks.expressions import Resolved
from pamiq_exp.config.checks.interpolations import resolve
from pamiq_exp.config.errors import ConfigError, ErrorDetail, Origin, nearest
from pamiq_exp.config.group_hints import list_choices
from pamiq_exp.config.hydra_loader import ConfigFile, Loader, Source
from pamiq_exp.config.provenance import Provenance, located, provenance_of
from pamiq_exp.config.replicate import expand_replicas, has_replicas
from pamiq_exp.config.words import parse_overrides
from pamiq_exp.run_folder import note_secrets


@dataclass(frozen=True)
class Composed:
    """A config as it was put together.

    Attributes:
        config: It, with Hydra's own node at `hydra`, and with all replicas written out.
        tree: The same as plain data without that node, interpolations as they stand.
        source: Where it came from.
        words: What was asked for.
        files: The files that took part, in their order; none for a config that was made in Python.
        loader: What composed it.
        origins: What set each key.
    """

    config: DictConfig
    tree: dict[str, Any]
    source: Source = field(default_factory=Source)
    words: tuple[str, ...] = ()
    files: tuple[ConfigFile, ...] = ()
    table: Provenance | None = None
    loader: Loader | None = None

    @classmethod
    def of_config(cls, config: DictConfig) -> Composed:
        """Take a config that was made in Python: it is the caller's own."""
        tree = expand_replicas(_plain(config))
        return cls(config, tree)

    @cached_property
    def origins(self) -> Provenance:
        """What set each key."""
        return self.table or provenance_of(self.files, parse_overrides(self.words, self.source), self.source)

    @cached_property
    def resolved(self) -> Resolved:
        """The config with everything filled in but what waits for the environment."""
        return self.with_spaces({})

    def with_spaces(self, spaces: Mapping[str, Any]) -> Resolved:
        """Return the config with everything filled in. Raises ConfigError if that takes more than the budget."""
        tree = {**self.tree, "spaces": spaces} if spaces else self.tree
        try:
            return resolve(tree, None if self.is_ours else self.origins.written_by)
        except ConfigError as error:
            raise ConfigError(self.located(error.errors)) from None

    @cached_property
    def is_ours(self) -> bool:
        """Whether nothing but what was typed, shipped and trusted took part."""
        words = self.words if self.source.words else ()
        return all(file.origin.is_ours for file in self.files) and all(
            self.source.origin_of_word(word).is_ours for word in words
        )

    @property
    def chosen(self) -> str:
        """One line of what was chosen and by what: "encoder random_features <- reward/rnd.yaml"; empty without choices.

        What `config.yaml` itself chooses is left out.
        """
        return ", ".join(self.loader.choices(self.words)) if self.loader is not None else ""

    @property
    def stranger(self) -> str | None:
        """Name a file that took part and is not known to be the user's own; None if there is none."""
        others = [file.origin for file in self.files if not file.origin.is_ours]
        others += [each for each in (self.source.words or {}).values() if not each.is_ours]
        return others[-1].file if others else None

    @property
    def is_put_together(self) -> bool:
        """Whether the config consists of choices; one that is a single file may be resolved, as exported files are."""
        return len({file.place for file in self.files}) > 1

    @property
    def hydra(self) -> object:
        """Hydra's own node as it is written, which may refer to the config."""
        node = self.config._get_node("hydra")
        return OmegaConf.to_container(node, resolve=False, throw_on_missing=False) if OmegaConf.is_config(node) else {}

    def located(self, errors: Iterable[ErrorDetail]) -> list[ErrorDetail]:
        """Return the errors with what set their keys."""
        found = list(errors)
        return located(found, self.origins) if found and self.files else found


def compose(words: Sequence[str], source: Source = Source()) -> Composed:
    """Compose one run's config. Nothing is imported, built or written for it.

    Args:
        words: `key=value` and `group=choice`.
        source: Where configs come from.

    Raises:
        ConfigError: With every word that names nothing, and for what a config file may not set.
    """
    parsed = parse_overrides(words, source)
    loader = Loader(source)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="provider=hydra.searchpath")
            config = loader.compose(words)
    except ConfigError:
        raise
    except UserWarning as error:  # a folder of the search path is not there
        place = str(error).partition("path=")[2].removesuffix(" is not available.")
        hint = "name a folder with config groups: hydra.searchpath=[file://FOLDER]"
        raise ConfigError(ErrorDetail("hydra.searchpath", f"there is no folder {place}", hint)) from error
    except Exception as error:  # whatever Hydra and OmegaConf stumble over in a file is a mistake in that file
        raise ConfigError(_explain(error, parsed, loader)) from error
    written = _plain(config)
    note_secrets(written)
    if not has_replicas(written):
        return Composed(config, written, source, tuple(words), tuple(loader.files), loader=loader)
    table = provenance_of(loader.files, parsed, source)
    tree = expand_replicas(written, table)
    with flag_override(config, ["struct", "readonly"], [False, False]):
        for key, node in tree.items():
            if node is not written[key]:
                config[key] = node
    return Composed(config, tree, source, tuple(words), tuple(loader.files), table, loader)


def compose_config(words: Sequence[str], source: Source = Source()) -> DictConfig:
    """Compose one run's config, with Hydra's own node at `hydra`. Raises ConfigError as `compose`."""
    return compose(words, source).config


def _plain(config: DictConfig) -> dict[str, Any]:
    tree = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    assert isinstance(tree, dict)
    return {str(key): _with_lists(value) for key, value in tree.items() if key != "hydra"}


def _with_lists(node: Any) -> Any:
    """Return a tree with lists in the place of tuples, which OmegaConf 2.4 keeps."""
    if isinstance(node, dict):
        return {name: _with_lists(value) for name, value in node.items()}
    return [_with_lists(item) for item in node] if isinstance(node, (list, tuple)) else node


def _explain(error: Exception, overrides: Sequence[Override], loader: Loader) -> list[ErrorDetail]:
    if isinstance(error, MissingConfigException):
        detail = _missing_choice(error, loader)
        typed = next((each for each in overrides if each.key_or_group == detail.key), None)
        return [
            replace(
                detail, origin=_origin(typed, loader) if typed else _origin_of_choice(error, loader.source, overrides)
            )
        ]
    nulls = [each for each in overrides if each.input_line and each.input_line.endswith("=null")]
    for each in nulls if isinstance(error, ValueError) else ():
        if loader.get_group_options(each.key_or_group):
            options = loader.get_group_options(each.key_or_group)
            message = "a group cannot be set to null"
            hint = f"choose one of {', '.join(options)}, or leave it out: ~{each.key_or_group}"
            return [ErrorDetail(each.key_or_group, message, hint, _origin(each, loader))]
    if unplaced := _unplaced_override(error, loader, overrides):
        return [unplaced]
    if unknown := _unknown_keys(overrides, loader):
        return unknown
    if isinstance(error, RecursionError):
        hint = "let no file choose one that leads back to it"
        return [ErrorDetail("defaults", "the files choose one another in a circle, or too deep", hint)]
    known = isinstance(error, (HydraException, OmegaConfBaseException))
    prefix = "" if known else f"this config cannot be composed: {type(error).__name__}: "
    return [
        ErrorDetail("", f"{prefix}{_plain_words(error)}", origin=_origin_of_choice(error, loader.source, overrides))
    ]


def _unplaced_override(error: Exception, loader: Loader, overrides: Sequence[Override]) -> ErrorDetail | None:
    """Explain a file that chooses from a group which no other choice has brought along; None for other errors."""
    found = re.match(r"In '([^']+)/([^/']+)': Could not override '([^'@]+)", str(error))
    if found is None:
        return None
    group, choice, missing = found.groups()
    others = [each for each in overrides if loader.get_group_options(each.key_or_group) and each.key_or_group != group]
    typed = " and ".join(each.input_line or "" for each in others)
    message = f"{group}={choice} chooses from '{missing}', which {typed or 'no other choice'} does not bring along"
    hint = f"choose what does ({list_choices(missing, loader.source.folders)}), or another {group.partition('/')[0]}"
    return ErrorDetail(group, message, hint, _origin_of_choice(error, loader.source, overrides))


def _missing_choice(error: MissingConfigException, loader: Loader) -> ErrorDetail:
    wanted = error.missing_cfg_file or ""
    group, _, choice = wanted.rpartition("/")
    while group and not loader.get_group_options(group):  # a path was typed for a name
        group, _, above = group.rpartition("/")
        choice = f"{above}/{choice}"
    options = error.options or (loader.get_group_options(group, ObjectType.CONFIG) if group else [])
    if not group or not options:
        return ErrorDetail(
            "", f"there is no config '{wanted or loader.source.name}'", "look for it with --info searchpath"
        )
    name = choice.rpartition("/")[2].removesuffix(".yaml")
    return ErrorDetail(group, f"there is no {group} '{choice}'", nearest(name, options, listing="there are"))


def _origin(override: Override, loader: Loader) -> Origin:
    return loader.source.origin_of_word(override.input_line or override.key_or_group)


def _origin_of_choice(error: Exception, source: Source, overrides: Sequence[Override]) -> Origin | None:
    """The line of a defaults list that an error of Hydra's is about, which names only the file."""
    found = re.match(r"In '([^']+)'", str(error))
    quoted = re.search(r"'(\$\{[^']+)'", str(error))
    names = [found[1]] if found else [f"{each.key_or_group}/{each.value()}" for each in overrides] if quoted else []
    files = [file for name in names if (file := source.find_file(name)) is not None]
    path = next((file for file in files if found or (quoted and quoted[1] in file.read_text("utf-8", "replace"))), None)
    if path is None:
        return None
    choice = quoted[1] if quoted else str(getattr(error, "missing_cfg_file", None) or "").rpartition("/")[2]
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return Origin.of_file(path, next((at for at, line in enumerate(lines, 1) if choice and choice in line), 1))


def _unknown_keys(overrides: Sequence[Override], loader: Loader) -> list[ErrorDetail]:
    """Find the overrides that name nothing, by composing once more with only the choices of groups that exist."""
    groups = [each for each in overrides if loader.get_group_options(each.key_or_group)]
    values = [each for each in overrides if each not in groups]
    try:
        base = loader.compose([each.input_line or "" for each in groups])
    except Exception:
        return _unused_groups(groups, loader)
    missing = [each for each in values if not _adds(each) and not _has(base, each.key_or_group)]
    known = {group for group in loader.list_groups("") if group != "hydra"}
    return [replace(_unknown_key(base, each.key_or_group, known), origin=_origin(each, loader)) for each in missing]


def _unused_groups(groups: Sequence[Override], loader: Loader) -> list[ErrorDetail]:
    """Find the groups that are chosen although this config has no place for them."""
    for left_out in groups:
        try:
            base = loader.compose([each.input_line or "" for each in groups if each is not left_out])
        except Exception:
            continue
        places = base.hydra.runtime.choices
        choices = {
            group: choice for group, choice in places.items() if choice is not None and not group.startswith("hydra")
        }
        group = left_out.key_or_group
        if group not in places:
            chosen = ", ".join(f"{key}={value}" for key, value in choices.items())
            message = f"this config has no place for '{group}': it consists of {chosen}"
            if not choices:
                message = "only single values can be set here: groups were chosen when the run began"
            places_for = list_choices(group, loader.source.folders)
            hint = f"leave it out, or choose what has a place for it: {places_for}" if places_for else "leave it out"
            return [ErrorDetail(group, message, hint, _origin(left_out, loader))]
    return []


def _unknown_key(base: DictConfig, key: str, groups: set[str]) -> ErrorDetail:
    parent, _, last = key.rpartition(".")
    while parent and not isinstance(OmegaConf.select(base, parent), DictConfig):
        parent, _, last = parent.rpartition(".")
    beside = OmegaConf.select(base, parent) if parent else base
    names = {str(name) for name in beside if str(name) != "hydra"}
    if not parent:
        return ErrorDetail(
            key,
            f"there is no such key{' or group' if groups else ''}",
            nearest(last, names | groups, listing="there are"),
        )
    hints = [nearest(last, names, listing=f"{parent} has"), f"to add a new one write +{key}=..."]
    return ErrorDetail(key, "there is no such key", "; ".join(filter(None, hints)))


def _adds(override: Override) -> bool:
    return override.is_add() or override.is_force_add()


def _has(config: DictConfig, key: str) -> bool:
    parent, _, last = key.rpartition(".")
    holder = OmegaConf.select(config, parent) if parent else config
    return isinstance(holder, Mapping | DictConfig) and last in holder.keys()  # noqa: SIM118 - also missing values


def _plain_words(error: BaseException) -> str:
    text = str(error).strip()
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ is not None and str(error.__cause__) else ""
    return f"{text}: {cause}" if text and cause and cause not in text else text or cause or type(error).__name__
