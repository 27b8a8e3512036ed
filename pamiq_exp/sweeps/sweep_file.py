"""`conf/sweep/NAME.yaml`: a whole sweep in one file. It stands for words of the command line.

A file of another person can choose among executors and give them numbers and names; it cannot hand them commands.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pamiq_exp.config import ConfigError, ErrorDetail, Origin, Source, nearest
from pamiq_exp.config.checks.dataclasses import read_dataclass
from pamiq_exp.config.checks.limits import MOST_THREADS
from pamiq_exp.config.errors import Kind
from pamiq_exp.config.files import is_shipped
from pamiq_exp.config.hydra_loader import key_of_word
from pamiq_exp.config.trust import is_trusted
from pamiq_exp.config.words import quoted
from pamiq_exp.files import read_yaml
from pamiq_exp.jobs.request import Request

GROUP = "sweep"

_MOST_SEEDS = 10_000

_NAME = re.compile(r"[\w.,:@+|&*()\[\]-]+")

EXECUTORS: Mapping[str, Mapping[str, str]] = {
    "basic": {},
    "joblib": {"jobs": "n_jobs"},
    "ray": {"cpus": "cpus", "gpus": "gpus"},
    "submitit_local": {"cpus": "cpus_per_task", "gpus": "gpus_per_node", "minutes": "timeout_min"},
    "submitit_slurm": {
        "jobs": "array_parallelism", "cpus": "cpus_per_task", "gpus": "gpus_per_node", "memory_gb": "mem_gb",
        "minutes": "timeout_min", "restarts": "max_num_timeout", "partition": "partition", "account": "account",
        "qos": "qos", "constraint": "constraint",
    },
}  # fmt: skip
"""Executors, and what each calls the settings that a file may give it."""


@dataclass(frozen=True)
class Executor:
    """Where the jobs of a sweep run.

    Attributes:
        name: One of `EXECUTORS`.
        jobs: How many run at once.
        cpus, gpus, memory_gb, minutes: What each job is given.
        restarts: How often a job that ran out of minutes goes on.
        partition, account, qos, constraint: For Slurm.
    """

    name: Literal["basic", "joblib", "ray", "submitit_local", "submitit_slurm"] = "basic"
    jobs: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    memory_gb: int | None = None
    minutes: int | None = None
    restarts: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None


@dataclass(frozen=True)
class Budget:
    """How much each run may take, and how many trials a search has."""

    max_steps: int | None = None
    max_seconds: float | None = None
    trials: int | None = None


@dataclass(frozen=True)
class Search:
    """What a search looks for: the settings of `hydra/sweeper=search`, but for where its study is stored."""

    space: dict[str, Any] = field(default_factory=dict)
    metric: str | None = None
    direction: Literal["maximize", "minimize"] | None = None
    sampler: str | None = None
    sampler_seed: int | None = None
    pruner: str | None = None
    prune_by: str | None = None
    at_once: int | None = None


@dataclass(frozen=True)
class SweepFile:
    """A sweep: what is run, over what, with which seeds, where, and for how long.

    Attributes:
        experiment: The experiment.
        overrides: Choices and values that all runs have, as on the command line.
        grid: Every combination of these: lists of values, or Hydra's `range(0,5)`, `choice(a,b)`, `glob(*)`.
        search: Instead of a grid; there is one if it has a space.
        seeds: How many, or which.
        executor: Where the jobs run.
        budget: How much they may take.
    """

    experiment: str | None = None
    overrides: list[Any] = field(default_factory=list)
    grid: dict[str, Any] = field(default_factory=dict)
    search: Search = field(default_factory=Search)
    seeds: int | list[int] | None = None
    executor: Executor = field(default_factory=Executor)
    budget: Budget = field(default_factory=Budget)

    def words(self) -> list[str]:
        """Return the words of the command line that this file stands for."""
        words = [] if self.experiment is None else [f"experiment={self.experiment}"]
        words += [str(word) for word in self.overrides]
        limits = {"max_steps": self.budget.max_steps, "max_seconds": self.budget.max_seconds}
        words += [f"launcher.{name}={value}" for name, value in limits.items() if value is not None]
        words += [f"{key}={_values(values)}" for key, values in self.grid.items()]
        seeds = list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds or []
        words += self._search_words(seeds) if self.search.space else [f"seed={_values(seeds)}"] if seeds else []
        return words + self._executor_words()

    def _search_words(self, seeds: list[int]) -> list[str]:
        settings = {name: value for name, value in vars(self.search).items() if name != "space" and value is not None}
        settings |= {"trials": self.budget.trials} if self.budget.trials is not None else {}
        words = ["hydra/sweeper=search", *(f"hydra.sweeper.{name}={value}" for name, value in settings.items())]
        words += [f"hydra.sweeper.seeds=[{','.join(map(str, seeds))}]"] if seeds else []
        return words + [f"{key}={_values(values)}" for key, values in self.search.space.items()]

    def _executor_words(self) -> list[str]:
        names = EXECUTORS[self.executor.name]
        given = {name: value for name, value in vars(self.executor).items() if name != "name" and value is not None}
        words = [f"hydra/launcher={self.executor.name}"] if self.executor.name != "basic" else []
        return words + [f"hydra.launcher.{names[name]}={value}" for name, value in given.items()]


def expand(request: Request) -> Request:
    """Replace `sweep=NAME` in a command line by the words that it stands for; what is typed as well wins over them.

    Raises:
        ConfigError: There is no such file, something in it is wrong, or no sweep was asked for.
    """
    chosen = [word for word in request.overrides if word.startswith(f"{GROUP}=")]
    if not chosen:
        return request
    if len(chosen) > 1:
        raise ConfigError(ErrorDetail(GROUP, "one sweep at a time", "put both into one file"))
    if not request.flags.multirun:
        raise ConfigError(ErrorDetail(GROUP, "a sweep is many runs", "add -m"))
    typed = [word for word in request.overrides if word not in chosen]
    keys = {key_of_word(word) for word in typed}
    path = _find(chosen[0].partition("=")[2], request.source)
    words = [word for word in _read(path).words() if key_of_word(word) not in keys]
    kind: Kind = "shipped" if is_shipped(path) else "trusted" if is_trusted(path) else "foreign"
    flags = copy.copy(request.flags)
    flags.overrides = words + typed
    others = [word for word in request.arguments if word not in request.overrides]
    origin = Origin.of_file(path, kind=kind)
    source = replace(request.source, words={key_of_word(word): replace(origin, text=word) for word in words})
    return replace(request, arguments=[*flags.overrides, *others], flags=flags, source=source)


def read(name: str, source: Source) -> SweepFile:
    """Return the sweep of that name: the user's own, or a shipped one. Raises ConfigError."""
    return _read(_find(name, source))


def _find(name: str, source: Source) -> Path:
    paths = {path.stem: path for folder in source.folders for path in sorted((folder / GROUP).glob("*.yaml"))}
    if name not in paths:
        raise ConfigError(ErrorDetail(GROUP, f"there is no sweep '{name}'", nearest(name, paths, listing="there are")))
    return paths[name]


def _read(path: Path) -> SweepFile:
    key = f"sweep {path.stem}"
    try:
        tree = read_yaml(path)
    except OSError as error:
        raise ConfigError(ErrorDetail(key, str(error), "a sweep file holds keys and values: key: value")) from error
    file = read_dataclass(SweepFile, {} if tree is None else tree, key)
    errors = list(_errors(file, key))
    if errors:
        raise ConfigError(errors)
    return file


def _errors(file: SweepFile, key: str) -> Iterator[ErrorDetail]:
    yield from _executor_errors(file, key)
    yield from _plan_errors(file, key)
    for word in file.overrides:
        if not isinstance(word, str) or "=" not in word or key_of_word(word).startswith("hydra"):
            hint = "write key=value; Hydra's own settings are for the command line"
            yield ErrorDetail(f"{key}.overrides", f"{word!r} cannot stand here", hint)
    for name in (*file.grid, *file.search.space):
        if str(name).lstrip("+~").startswith("hydra"):
            yield ErrorDetail(f"{key}.{name}", "Hydra's own settings are for the command line")


def _executor_errors(file: SweepFile, key: str) -> Iterator[ErrorDetail]:
    names = EXECUTORS[file.executor.name]
    for name, value in vars(file.executor).items():
        if name != "name" and value is not None and name not in names:
            has = ", ".join(names) or "no settings"
            yield ErrorDetail(f"{key}.executor.{name}", f"is not for {file.executor.name}", f"it has {has}")
        elif isinstance(value, str) and not _NAME.fullmatch(value):
            yield ErrorDetail(f"{key}.executor.{name}", f"{value!r} is no name")  # it would end up in a shell script
    if file.executor.name == "joblib" and not 1 <= (file.executor.jobs or 1) <= MOST_THREADS:
        message = f"asks for {file.executor.jobs:,} processes; at most {MOST_THREADS} are given here"
        yield ErrorDetail(f"{key}.executor.jobs", message, "ask for fewer")


def _plan_errors(file: SweepFile, key: str) -> Iterator[ErrorDetail]:
    if isinstance(file.seeds, int) and file.seeds < 1:
        yield ErrorDetail(f"{key}.seeds", f"expected at least one, not {file.seeds}")
    count = len(file.seeds) if isinstance(file.seeds, list) else file.seeds or 0
    if count > _MOST_SEEDS:
        yield ErrorDetail(f"{key}.seeds", f"{count} are more than {_MOST_SEEDS}, the most that a sweep may have")
    if file.search.space and file.grid:
        yield ErrorDetail(
            f"{key}.grid", "a search has no grid", "put choices into search.space: a list is tried as such"
        )
    if not file.search.space and file.budget.trials is not None:
        yield ErrorDetail(f"{key}.budget.trials", "only a search has trials", "add search: {space: ...}")


def _values(values: object) -> str:
    """Return values as Hydra reads them: a list is a choice, a text is Hydra's own grammar."""
    if isinstance(values, list):
        return ",".join(map(_value, values))
    return values if isinstance(values, str) else _value(values)


def _value(value: object) -> str:
    if isinstance(value, str):
        plain = value.replace("_", "").replace(".", "").replace("-", "").replace("/", "").isalnum()
        return value if plain else quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
