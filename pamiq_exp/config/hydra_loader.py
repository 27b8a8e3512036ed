"""Hydra as it composes configs here: our reader of files, and a node `hydra` that no other file can change.

Every composition goes through
`Loader`, also those that Hydra's sweepers and launchers begin in other processes: what a file may not set is refused
before Hydra applies any of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from hydra import version
from hydra.core.config_search_path import SearchPathElement
from hydra.core.default_element import DefaultsTreeNode, GroupDefault, ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime, configure_log, run_job, setup_globals
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config.checks.hydra_settings import choice_error, setting_errors
from pamiq_exp.config.errors import COMMAND_LINE, ConfigError, ErrorDetail, Kind, Origin
from pamiq_exp.config.files import ReadConfig, is_shipped, read_option, read_yaml, use_checked_files
from pamiq_exp.config.hydra_internals import (
    CachingConfigRepository,
    Callbacks,
    ConfigLoaderImpl,
    Hydra,
    IConfigRepository,
    SourcesRegistry,
    create_config_search_path,
    create_defaults_list,
)
from pamiq_exp.config.resolvers import register_resolvers
from pamiq_exp.config.trust import is_trusted
from pamiq_exp.config.yaml_files import MOST_EXPRESSIONS, read_text_nodes
from pamiq_exp.option_files import Option, config_folder, find_file, without_line
from pamiq_exp.yaml_nodes import YamlNode

VERSION_BASE = "1.3"
CONFIG_NAME = "config"
MOST_READS = 2000
"""Files of one config, each as often as it is chosen: files that choose one another twice would never end."""


@dataclass(frozen=True)
class Source:
    """Where configs come from.

    Attributes:
        name: The primary config, without `.yaml`.
        folder: The user's own config folder, searched after the shipped one.
        main: What replaces the shipped folder, if anything.
        copy_of: The folder that `folder` was copied from when a sweep began.
        kept: Texts that come before all files, by their place without `.yaml`: those that a run has kept.
        kept_in: The file that keeps them.
        words: Where words of the command line come from that the user did not type, by word or by key.
    """

    name: str = CONFIG_NAME
    folder: str | None = None
    main: str | None = None
    copy_of: str | None = None
    kept: Mapping[str, str] | None = None
    kept_in: str = ""
    words: Mapping[str, Origin] | None = None

    @property
    def folders(self) -> list[Path]:
        """The config folders in the order in which they are searched."""
        return [Path(self.main) if self.main else config_folder(), *([Path(self.folder)] if self.folder else [])]

    def find_file(self, place: str) -> Path | None:
        """Return the file that holds a config, such as `world/clean`; None if no folder has it."""
        return next((path for each in self.folders if (path := find_file(each, place)) is not None), None)

    def origin_of_word(self, word: str) -> Origin:
        """Return who wrote a word of the command line."""
        words = self.words or {}
        return words.get(word) or words.get(key_of_word(word)) or Origin(COMMAND_LINE, text=word, kind="typed")


def key_of_word(word: str) -> str:
    """`+environment@world=maze` -> `environment`."""
    return word.partition("=")[0].lstrip("+~").partition("@")[0]


@dataclass(frozen=True)
class ConfigFile:
    """A file that took part in a config.

    Attributes:
        place: Its place in a config folder, such as `world/clean`.
        package: Where its keys go; empty for the top.
        option: Its text.
        origin: Who wrote it.
    """

    place: str
    package: str
    option: Option
    origin: Origin

    def nodes(self) -> YamlNode | None:
        """Return its tree with line numbers. Raises ConfigError."""
        return read_text_nodes(Path(self.origin.file), self.option.in_place)


class KeptSource(ConfigSource):
    """The texts that a run has kept, as a source of configs."""

    texts: Mapping[str, str] = {}
    file: str = ""

    @staticmethod
    def scheme() -> str:
        """See the base class."""
        return "kept"

    def load_config(self, config_path: str) -> ConfigResult:
        """See the base class. Raises ConfigError for a text that is no config."""
        place = config_path.removesuffix(".yaml")
        file, option = Path(f"{self.file}:{place}.yaml"), Option("", self.texts[place])
        config, header = read_yaml(file, option.body)
        config = _without_hydra(config) if place == self.path else config
        return ReadConfig(self.provider, self.full_path(), config, header, file=file, option=option, folder=None)

    def is_group(self, config_path: str) -> bool:
        """See the base class."""
        return not config_path or any(place.startswith(f"{config_path}/") for place in self.texts)

    def is_config(self, config_path: str) -> bool:
        """See the base class."""
        return config_path.removesuffix(".yaml") in self.texts

    def available(self) -> bool:
        """See the base class."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """See the base class."""
        above = f"{config_path}/" if config_path else ""
        below = [place.removeprefix(above) for place in self.texts if place.startswith(above)]
        return sorted(
            {each.partition("/")[0] for each in below if ("/" in each) != (results_filter == ObjectType.CONFIG)}
        )


def _without_hydra(config: DictConfig) -> DictConfig:
    """The primary config of a run without its settings of Hydra: a run has no say in them."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    if isinstance(defaults := plain.get("defaults"), list):
        entries = [(str(next(iter(each), "") if isinstance(each, dict) else each), each) for each in defaults]
        plain["defaults"] = [each for text, each in entries if not is_hydras(text)]
    return OmegaConf.create(plain)


def is_hydras(word: str) -> bool:
    """Whether a word of the command line, a key, or an entry of a defaults list is for Hydra itself."""
    last = (word.partition("=")[0].split() or [""])[-1].lstrip("+~/")
    return last.replace("/", ".").replace("@", ".").split(".")[0] == "hydra"


class Loader(ConfigLoaderImpl):
    """Composes configs and notes which files took part.

    Args:
        source: Where configs come from.
    """

    def __init__(self, source: Source) -> None:
        prepare()
        for key, folder in (("--config-dir", source.folder), ("--config-path", source.main)):
            if folder is not None and not Path(folder).is_dir():
                hint = "name a folder with config groups: experiment/NAME.yaml, ..."
                raise ConfigError(ErrorDetail(key, f"the config folder {folder} does not exist", hint))
        main = str(Path(source.main).resolve() if source.main else config_folder())
        search_path = create_config_search_path(main)
        entries = search_path.get_path()
        if source.folder is not None:  # before the schemas, which come last
            entries.insert(-1, SearchPathElement("own", f"file://{Path(source.folder).resolve()}"))
        if source.kept is not None:  # after what comes with Hydra
            entries.insert(1, SearchPathElement("kept", f"kept://{source.name}"))
        super().__init__(config_search_path=search_path)
        self.source = source
        self.files: list[ConfigFile] = []
        for each in self.repository.get_sources():
            if isinstance(each, KeptSource):
                each.texts, each.file = source.kept or {}, source.kept_in

    def compose(self, words: Sequence[str]) -> DictConfig:
        """Return the config of one run, with Hydra's own node at `hydra`."""
        return self.load_configuration(self.source.name, list(words), RunMode.RUN, from_shell=False)

    def choices(self, words: Sequence[str]) -> list[str]:
        """Return what was chosen in the last composition, of these words, and by what.

        "encoder random_features <- reward/rnd.yaml"; what the primary config and Hydra choose themselves is left out.
        """
        parsed, repository = OverridesParser.create().parse_overrides(list(words)), _Repository(self._repository)
        listed = create_defaults_list(repository, self.source.name, parsed, prepend_hydra=True, skip_missing=False)
        found = []
        for each, parent in _chosen_groups(listed.defaults_tree):
            group, option = each.get_override_key(), each.get_name()
            if option is None or group.startswith("hydra"):
                continue
            if (override := listed.overrides.override_metadata.get(group)) is not None:
                parent = override.containing_config_path
            if parent != self.source.name:
                by = self._name_of_file(parent) if parent is not None else COMMAND_LINE
                found.append(f"{group} {option} <- {by}")
        return found

    def _name_of_file(self, place: str) -> str:
        path = self.source.find_file(place)
        return str(PurePath(place).with_name(path.name)) if path is not None else f"{place}.yaml"

    def _parse_overrides_and_create_caching_repo(
        self,
        config_name: str | None,
        overrides: list[str],
        *rest: Any,  # more in each version of Hydra
    ) -> tuple[list[Override], CachingConfigRepository]:
        parsed, repository = super()._parse_overrides_and_create_caching_repo(config_name, overrides, *rest)
        self._repository = _Repository(repository)
        return parsed, self._repository

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        *rest: Any,  # more in each version of Hydra
        **named: Any,
    ) -> DictConfig:
        self.files = []
        config = super()._load_configuration_impl(config_name, overrides, *rest, **named)
        choices = OmegaConf.to_container(config.hydra.runtime.choices)
        assert isinstance(choices, dict)
        typed = {word.lstrip("+~").partition("=")[0] for word in overrides}
        errors = [choice_error(str(group), str(choice), typed) for group, choice in choices.items()]
        if found := [each for each in errors if each is not None]:
            raise ConfigError(found)
        return config

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        result = super()._load_single_config(default, repo)
        if not isinstance(result, ReadConfig):  # of Hydra's own
            return result
        place = str(default.config_path).removesuffix(".yaml")
        package = default.package if default.package is not None else result.header["package"]
        origin = Origin.of_file(result.file, kind=self._kind(place, result))
        self.files.append(ConfigFile(place, "" if package in (None, "_global_") else package, result.option, origin))
        if origin.kind != "shipped":
            if isinstance(result.config, DictConfig) and "hydra" in result.config:
                raise ConfigError(setting_errors(result.config, origin))
            if default.primary:
                with_hydra = OmegaConf.create({"hydra": _shipped_hydra()})
                with_hydra.merge_with(result.config)
                result.config = with_hydra
        return result

    def _kind(self, place: str, result: ReadConfig) -> Kind:
        """Who wrote a file: a copy of a shipped or trusted one counts as that one."""
        text = without_line(result.option.text)
        if result.file.is_relative_to(config_folder()) or _says(config_folder(), place, text):
            return "shipped"
        if is_trusted(result.file if result.folder is not None else Path(self.source.kept_in)):
            return "trusted"
        copied = Path(self.source.copy_of) if self.source.copy_of else None
        if copied is not None and is_trusted(copied / f"{place}.yaml") and _says(copied, place, text):
            return "trusted"
        return "own" if result.folder is not None else "foreign"


def _chosen_groups(tree: DefaultsTreeNode) -> Iterator[tuple[GroupDefault, str | None]]:
    """Yield the choices of groups below a file, each with the file that lists it."""
    for each in tree.children or ():
        node = each.node if isinstance(each, DefaultsTreeNode) else each
        if isinstance(node, GroupDefault):
            yield node, tree.node.get_config_path()
        if isinstance(each, DefaultsTreeNode):
            yield from _chosen_groups(each)


class _Repository(CachingConfigRepository):
    """Counts what is read, also what it knows already."""

    def __init__(self, other: CachingConfigRepository) -> None:
        self.delegate = other.delegate
        self.cache = other.cache
        self._left = MOST_READS
        self._counted: set[str] = set()
        self._expressions = 0

    def load_config(self, config_path: str) -> ConfigResult | None:
        self._left -= 1
        if self._left < 0:
            message = f"the files choose one another more than {MOST_READS} times"
            raise ConfigError(ErrorDetail("defaults", message, "let a file choose each other file once"))
        if ".." in Path(config_path).parts:
            message = f"{config_path} leads out of the config folder"
            raise ConfigError(ErrorDetail("defaults", message, "name the group from the top: /group/NAME"))
        result = super().load_config(config_path)
        if isinstance(result, ReadConfig) and config_path not in self._counted and not is_shipped(result.file):
            self._counted.add(config_path)
            self._count_expressions(result.option.text)
        return result

    def _count_expressions(self, text: str) -> None:
        """Each file is within a limit: here it is for all of them. Raises ConfigError."""
        self._expressions += sum(len(line) - at for line in text.splitlines() if (at := line.find("${")) >= 0)
        if self._expressions > MOST_EXPRESSIONS:
            message = f"the files have more than {MOST_EXPRESSIONS:,} characters of ${{...}}"
            raise ConfigError(ErrorDetail("", message, "write values out"))


def _says(folder: Path, place: str, text: str) -> bool:
    """Whether a config folder has this config, word for word."""
    path = find_file(folder, place)
    try:
        return path is not None and read_option(path, place).text == text
    except ConfigError:
        return False


@cache
def _shipped_hydra() -> object:
    return OmegaConf.to_container(OmegaConf.load(config_folder() / f"{CONFIG_NAME}.yaml").hydra, resolve=False)


def prepare() -> None:
    """Set Hydra up in this process. May be called again."""
    version.setbase(VERSION_BASE)
    setup_globals()
    register_resolvers()
    JobRuntime.instance().set("name", "pamiq_exp")
    use_checked_files()
    SourcesRegistry.instance().types[KeptSource.scheme()] = KeptSource


def run_once(config: DictConfig, source: Source, task: TaskFunction) -> object:
    """Do what Hydra does around one run, for a config that is composed already, and return what `task` returns."""
    name = source.name
    config.hydra.mode = RunMode.RUN
    HydraConfig.instance().set_config(config)
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name=name)
    done = run_job(
        hydra_context=HydraContext(config_loader=Loader(source), callbacks=callbacks),
        task_function=task,
        config=config,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    callbacks.on_run_end(config=config, config_name=name, job_return=done)
    return done.return_value


def run_many(words: Sequence[str], source: Source, task: TaskFunction) -> None:
    """Have Hydra run the jobs of a sweep; each is composed by a loader that refuses what files may not set."""
    hydra = Hydra(task_name="pamiq_exp", config_loader=Loader(source))
    GlobalHydra.instance().initialize(hydra)
    try:
        hydra.multirun(config_name=source.name, task_function=task, overrides=[*words, "hydra.mode=MULTIRUN"])
    finally:
        GlobalHydra.instance().clear()
