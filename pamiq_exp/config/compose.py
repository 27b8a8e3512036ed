"""From the command line to one config tree, or to a clear account of why there is none."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config.files import config_folder, use_checked_files
from pamiq_exp.config.lines import BROKEN, read_nodes
from pamiq_exp.config.places import told_choices
from pamiq_exp.config.problems import COMMAND_LINE, ConfigError, Origin, Problem, nearest
from pamiq_exp.config.replicate import expand_replicas
from pamiq_exp.config.resolvers import register_resolvers

VERSION_BASE = "1.3"
CONFIG_NAME = "config"
MOST_VARIANTS = 20
MOST_CHOICES = 1000
"""Of one key that are looked at."""
MOST_JOBS = 100_000


@dataclass(frozen=True)
class Source:
    """Where configs come from.

    Attributes:
        name: The primary config, without `.yaml`.
        folder: The user's own config folder, searched after the shipped one.
        main: What replaces the shipped folder, if anything.
    """

    name: str = CONFIG_NAME
    folder: str | None = None
    main: str | None = None


def compose_config(overrides: Sequence[str], source: Source = Source()) -> DictConfig:
    """Compose one run's config, with Hydra's own node at `hydra`. Nothing is imported, built or written for it.

    Raises:
        ConfigError: With every override that names nothing.
    """
    register_resolvers()
    parsed = parse_overrides(overrides)
    own = [] if source.folder is None else [f'hydra.searchpath=["file://{Path(source.folder).resolve()}"]']
    with _hydra(source):
        try:
            composed = compose(source.name, [*overrides, *own], return_hydra_config=True)
        except ConfigError:
            raise
        except Exception as error:  # whatever Hydra and OmegaConf stumble over in a file is a mistake in that file
            raise ConfigError(_explain(error, parsed, source, own)) from error
    return expand_replicas(composed)


@contextmanager
def _hydra(source: Source) -> Iterator[None]:
    """Set Hydra up for composing from `source`."""
    if source.folder is not None and not Path(source.folder).is_dir():
        message = f"the config folder {source.folder} does not exist"
        raise ConfigError(
            Problem("--config-dir", message, "name a folder with config groups: experiment/NAME.yaml, ...")
        )
    use_checked_files()
    main = str(Path(source.main).resolve() if source.main else config_folder())
    with initialize_config_dir(version_base=VERSION_BASE, config_dir=main, job_name="pamiq_exp"):
        yield


def read_config(path: Path) -> DictConfig:
    """Read a whole config, such as a run folder keeps. Raises ConfigError if it is none."""
    register_resolvers()
    if not path.exists():
        raise ConfigError(Problem("", f"there is no {path}", "name the folder of a run"))
    read_nodes(path)  # within limits?
    try:
        config = OmegaConf.load(path)
    except (*BROKEN, OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(Problem("", f"{path} cannot be read: {error}")) from error
    if not isinstance(config, DictConfig):
        raise ConfigError(Problem("", f"{path} holds no keys and values"))
    if "hydra" in config:
        message = "no run keeps it, and a config that was written by others may not set up Hydra"
        raise ConfigError(Problem("hydra", message, "take it out of the file", Origin.of_file(path)))
    return config


def override_values(config: DictConfig, overrides: Sequence[str]) -> None:
    """Set single values in a config that is already composed; groups can no longer be chosen.

    Raises:
        ConfigError: With every override that names nothing.
    """
    parsed = parse_overrides(overrides)
    missing = [each for each in parsed if not _adds(each) and not _has(config, each.key_or_group)]
    if missing:
        raise ConfigError([_unknown_key(config, each.key_or_group, set()) for each in missing])
    for each in parsed:
        key, value = each.key_or_group, None if each.is_sweep_override() else each.value()
        takes_apart = OmegaConf.is_dict(OmegaConf.select(config, key)) and not isinstance(value, dict)
        if each.is_sweep_override() or each.is_delete() or takes_apart:
            message = "only single values can be set here: groups were chosen when the run began"
            raise ConfigError(Problem(key, message, f"set a key below it: {key}.NAME=..." if takes_apart else ""))
        OmegaConf.update(config, key, value, force_add=True)


def variants(overrides: Sequence[str], source: Source = Source()) -> list[list[str]]:
    """Return overrides without sweeps: the first job of a sweep, then each other choice of each key once.

    A sweep of a thousand jobs has few choices for each key, and a mistake lies in a choice. At most 20 are tried, of
    all keys in turn; whole-numbered seeds never are, one is as good as another.
    """
    first, others = _alternatives(overrides, source)
    return [first] + [[*first[:at], choice, *first[at + 1 :]] for at, choice in others[:MOST_VARIANTS]]


def untried_choices(overrides: Sequence[str], source: Source = Source()) -> list[str]:
    """Return the choices of a sweep, such as `launcher=lockstep`, that are not among its `variants`."""
    return [choice for _, choice in _alternatives(overrides, source)[1][MOST_VARIANTS:]]


def _alternatives(overrides: Sequence[str], source: Source) -> tuple[list[str], list[tuple[int, str]]]:
    """Return the first job of a sweep, and all other choices with the place of their key, the second of each first."""
    with _hydra(source):
        choices = [_choices(override) for override in parse_overrides(overrides, _loader())]
    others = [(at, choice) for at, each in enumerate(choices) for choice in each[1:]]
    turns = [(choices[at].index(choice), at, choice) for at, choice in others if not re.fullmatch(r"seed=\d+", choice)]
    return [each[0] for each in choices], [(at, choice) for _, at, choice in sorted(turns)]


def sweep_jobs(overrides: Sequence[str], source: Source = Source()) -> list[list[str]]:
    """Return the overrides of every job of a grid, in the order in which Hydra numbers them.

    Raises:
        ConfigError: For more jobs than anybody means.
    """
    with _hydra(source):
        parsed = parse_overrides(overrides, _loader())
        sweeps = [each for each in parsed if each.is_discrete_sweep()]
        count = math.prod(sum(1 for _ in itertools.islice(each.sweep_iterator(), MOST_JOBS + 1)) for each in sweeps)
        if count > MOST_JOBS:
            words = " ".join(each.input_line or "" for each in sweeps)
            raise ConfigError(Problem("", f"{words} are more than {MOST_JOBS:,} jobs", "sweep over less at once"))
        (batch,) = BasicSweeper.split_arguments(parsed, None)
    return batch


def _choices(override: Override) -> list[str]:
    key = override.get_key_element()
    if override.is_interval_sweep():
        interval = override.value()
        assert isinstance(interval, IntervalSweep)
        return [f"{key}={interval.start}"]  # a search: any value in it is as good as another
    if not override.is_discrete_sweep():
        return [override.input_line or ""]
    values = [f"{key}={value}" for value in itertools.islice(override.sweep_string_iterator(), MOST_CHOICES)]
    if not values:
        raise ConfigError(Problem(key, f"{override.input_line} stands for nothing", "look for the choices with --help"))
    return values


def parse_overrides(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Read `key=value` words; `loader` knows what `glob(*)` stands for. Raises ConfigError for what is none."""
    try:
        return OverridesParser.create(loader).parse_overrides(list(overrides))
    except OverrideParseException as error:
        message = f"cannot be read: {str(error).splitlines()[0]}"
        remedy = "write key=value; quote what holds commas, braces or equals signs: 'key=\"a,b\"'"
        origin = Origin(COMMAND_LINE, text=error.override)
        raise ConfigError(Problem(error.override, message, remedy, origin)) from error


def _explain(error: Exception, overrides: Sequence[Override], source: Source, own: list[str]) -> list[Problem]:
    if isinstance(error, MissingConfigException):
        problem = _missing_choice(error, source.name)
        typed = next((each for each in overrides if each.key_or_group == problem.key), None)
        return [replace(problem, origin=_typed(typed) if typed else _origin_of_choice(error, source, overrides))]
    if unplaced := _unplaced_override(error, source, overrides):
        return [unplaced]
    if unknown := _unknown_keys(overrides, source, own):
        return unknown
    known = isinstance(error, (HydraException, OmegaConfBaseException))
    prefix = "" if known else f"this config cannot be composed: {type(error).__name__}: "
    return [Problem("", f"{prefix}{_plain_words(error)}", origin=_origin_of_choice(error, source, overrides))]


def _unplaced_override(error: Exception, source: Source, overrides: Sequence[Override]) -> Problem | None:
    """Explain a file that chooses from a group which no other choice has brought along; None for other errors."""
    found = re.match(r"In '([^']+)/([^/']+)': Could not override '([^'@]+)", str(error))
    if found is None:
        return None
    group, choice, missing = found.groups()
    others = [
        each for each in overrides if _loader().get_group_options(each.key_or_group) and each.key_or_group != group
    ]
    typed = " and ".join(each.input_line or "" for each in others)
    message = f"{group}={choice} chooses from '{missing}', which {typed or 'no other choice'} does not bring along"
    remedy = f"choose what does ({told_choices(missing, _folders(source))}), or another {group.partition('/')[0]}"
    return Problem(group, message, remedy, _origin_of_choice(error, source, overrides))


def _folders(source: Source) -> list[Path]:
    return [Path(source.main) if source.main else config_folder(), *([Path(source.folder)] if source.folder else [])]


def _missing_choice(error: MissingConfigException, name: str) -> Problem:
    wanted = error.missing_cfg_file or ""
    group, _, choice = wanted.rpartition("/")
    options = error.options or (_loader().get_group_options(group, ObjectType.CONFIG) if group else [])
    if not group or not options:
        return Problem("", f"there is no config '{wanted or name}'", "look for it with --info searchpath")
    return Problem(group, f"there is no {group} '{choice}'", nearest(choice, options, listing="there are"))


def _typed(override: Override) -> Origin:
    return Origin(COMMAND_LINE, text=override.input_line or override.key_or_group)


def _origin_of_choice(error: Exception, source: Source, overrides: Sequence[Override]) -> Origin | None:
    """The line of a defaults list that an error of Hydra's is about, which names only the file."""
    found = re.match(r"In '([^']+)'", str(error))
    quoted = re.search(r"'(\$\{[^']+)'", str(error))
    folders = _folders(source)
    names = [found[1]] if found else [f"{each.key_or_group}/{each.value()}" for each in overrides] if quoted else []
    files = [file for name in names for folder in folders if (file := folder / f"{name}.yaml").is_file()]
    path = next(
        (file for file in files if found or (quoted and quoted[1] in file.read_text("utf-8", "replace"))),
        None,
    )
    if path is None:
        return None
    choice = quoted[1] if quoted else str(getattr(error, "missing_cfg_file", None) or "").rpartition("/")[2]
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return Origin.of_file(path, next((at for at, line in enumerate(lines, 1) if choice and choice in line), 1))


def _unknown_keys(overrides: Sequence[Override], source: Source, own: list[str]) -> list[Problem]:
    """Find the overrides that name nothing, by composing once more with only the choices of groups that exist."""
    loader = _loader()
    groups = [each for each in overrides if loader.get_group_options(each.key_or_group)]
    values = [each for each in overrides if each not in groups]
    try:
        base = compose(source.name, [*(each.input_line or "" for each in groups), *own], return_hydra_config=True)
    except Exception:
        return _unused_groups(groups, source, own)
    missing = [each for each in values if not _adds(each) and not _has(base, each.key_or_group)]
    known = {group for group in loader.list_groups("") if group != "hydra"}
    return [replace(_unknown_key(base, each.key_or_group, known), origin=_typed(each)) for each in missing]


def _unused_groups(groups: Sequence[Override], source: Source, own: list[str]) -> list[Problem]:
    """Find the groups that are chosen although this config has no place for them."""
    for left_out in groups:
        others = [each.input_line or "" for each in groups if each is not left_out]
        try:
            base = compose(source.name, [*others, *own], return_hydra_config=True)
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
            places_for = told_choices(group, _folders(source))
            remedy = f"leave it out, or choose what has a place for it: {places_for}" if places_for else "leave it out"
            return [Problem(group, message, remedy, _typed(left_out))]
    return []


def _unknown_key(base: DictConfig, key: str, groups: set[str]) -> Problem:
    parent, _, last = key.rpartition(".")
    while parent and not isinstance(OmegaConf.select(base, parent), DictConfig):
        parent, _, last = parent.rpartition(".")
    beside = OmegaConf.select(base, parent) if parent else base
    names = {str(name) for name in beside if str(name) != "hydra"}
    if not parent:
        return Problem(
            key,
            f"there is no such key{' or group' if groups else ''}",
            nearest(last, names | groups, listing="there are"),
        )
    remedy = nearest(last, names, listing=f"{parent} has")
    return Problem(key, "there is no such key", f"{remedy}; to add a new one write +{key}=...")


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


def _loader() -> ConfigLoader:
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, ConfigLoader)
    return loader
