"""Everything that can be found wrong before a run folder exists."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.cli._arguments import Request, find_trusted_packages, say
from pamiq_exp.cli._online import keep_offline
from pamiq_exp.config import (
    AllowList,
    ConfigError,
    DryRun,
    Problem,
    Source,
    check_hydra,
    check_names,
    check_parts,
    check_values,
    compose_config,
    config_folder,
    located,
    origins,
    plain_tree,
    rehearsal,
    unsafe_targets,
    untried_choices,
    variants,
)

if TYPE_CHECKING:
    from pamiq_exp.runtime.rehearsal import Rehearsal

SHOWN_CHOICES = 5


def preflight(request: Request) -> None:
    """Check every config that this command line asks for, and that there is a place for its results.

    Mistakes that show in names alone are told before torch is imported.

    Raises:
        ConfigError: With all problems of the first config that has any.
    """
    lists = variants(request.overrides, request.source) if request.flags.multirun else [request.overrides]
    configs = [compose_safely(overrides, request.source) for overrides in lists]
    for config in configs:
        require_choice(config, request)
    refuse(configs, request.allow, dry_run=request.dry_run)
    tried = request.flags.multirun and request.dry_run
    if untried := untried_choices(request.overrides, request.source) if tried else []:
        say(told_untried(untried, len(configs)))
    keep_offline(configs, request.online)
    require_folder(configs[0], multirun=bool(request.flags.multirun))


def compose_safely(overrides: Sequence[str], source: Source) -> DictConfig:
    """Compose a config, and refuse it if a file in it would have Hydra run something. Raises ConfigError."""
    config = compose_config(overrides, source)
    problems = check_hydra(config, overrides, source)
    if problems:
        raise ConfigError(_traced(problems, config))
    return config


def told_untried(choices: Sequence[str], tried: int) -> str:
    """Say which choices of a sweep were left to its jobs to check."""
    kinds = f"{tried} of the configs of this sweep were tried in a dry run, every choice of each key once"
    if not choices:
        return kinds
    shown = ", ".join(choices[:SHOWN_CHOICES]) + (", ..." if len(choices) > SHOWN_CHOICES else "")
    return f"{kinds} but for {len(choices)}, which their jobs will check: {shown}"


def refuse(
    configs: Sequence[DictConfig], allow: AllowList, typed: Collection[str] = (), *, dry_run: bool = True
) -> list[Rehearsal]:
    """Raise ConfigError with all problems of the first config that has any; print the warnings of the dry run.

    Those that show without importing anything come first, for all configs; the dry run comes last, of each config
    once if some differ in their seeds alone.

    Args:
        configs: Composed, or as a run or an exported file keeps them.
        allow: What they may name.
        typed: Keys that the user has typed, where a config itself does not tell.
        dry_run: Whether to try the parts on each other.

    Returns:
        What the dry runs have measured.
    """
    for config in configs:
        values = [each for each in check_values(config) if not _is_below(each.key, typed)]
        if problems := check_names(config, allow) + values:
            raise ConfigError(_traced(problems, config))
    find_trusted_packages(allow)
    for config in configs:
        if problems := check_parts(config, allow):
            raise ConfigError(_traced(problems, config))
    measured: list[Rehearsal] = []
    warnings: dict[str, None] = {}
    for config in _distinct(configs) if dry_run else ():
        found = rehearsal(config, allow)
        if found.problems:
            raise ConfigError(_traced(found.problems, config))
        measured += [found.measured] if found.measured is not None else []
        warnings |= dict.fromkeys(map(str, _traced(found.warnings, config)))
    if warnings:
        say(told_warnings(list(warnings)))
    return measured


def told_warnings(warnings: Sequence[str]) -> str:
    """Say what the dry run has found that may be due to its made-up data."""
    lines = [line for warning in warnings for line in warning.splitlines()]
    return "\n".join(["the dry run warns, which stops nothing:", *(f"  {line}" for line in lines)])


def _distinct(configs: Sequence[DictConfig]) -> list[DictConfig]:
    """Return the configs that differ in more than their seeds, the first of each kind."""
    kinds = {repr(plain_tree(config) | {"seed": 0}): config for config in reversed(configs)}
    return list(reversed(kinds.values()))


def _is_below(key: str, above: Collection[str]) -> bool:
    return any(key == each or key.startswith((f"{each}.", f"{each}[")) for each in above)


@dataclass(frozen=True)
class Findings:
    """What a check has found.

    Attributes:
        config: The config, without the overrides that name nothing.
        problems: All of them, each with what set its key.
        rehearsal: What the dry run has measured, if it came to that.
        warnings: What the dry run has found that may be due to its made-up data.
    """

    config: DictConfig | None
    problems: list[Problem]
    rehearsal: Rehearsal | None = None
    warnings: list[Problem] = field(default_factory=list)


def examine(overrides: Sequence[str], request: Request) -> Findings:
    """Find everything that is wrong with one config, in all stages that can be gone through.

    What does not compose is told, left out, and the rest looked at. Nothing is imported for a config that names
    what it may not, and nothing is built for one whose arguments do not fit.
    """
    config, problems = _compose_what_can_be(list(overrides), request.source)
    if config is None:
        return Findings(None, problems)
    unsafe = check_hydra(config, overrides, request.source) + unsafe_targets(config, request.allow)
    unsafe += check_values(config)
    found = check_names(config, request.allow)
    problems += _traced(unsafe + [each for each in found if each not in unsafe], config)
    if unsafe:
        return Findings(config, problems)
    find_trusted_packages(request.allow)
    try:
        found = check_parts(config, request.allow)
        dry_run = DryRun([])
        if not found and not problems and request.dry_run:
            dry_run = rehearsal(config, request.allow)
            found = dry_run.problems
    except ConfigError as error:  # of what is told already
        found, dry_run = error.problems, DryRun([])
    told = {(each.key, each.message) for each in problems}
    problems += [each for each in _traced(found, config) if (each.key, each.message) not in told]
    return Findings(config, problems, dry_run.measured, _traced(dry_run.warnings, config))


def _compose_what_can_be(overrides: list[str], source: Source) -> tuple[DictConfig | None, list[Problem]]:
    """Compose a config without the overrides that name nothing, and return what is wrong with those."""
    problems: list[Problem] = []
    while True:
        try:
            return compose_config(overrides, source), problems
        except ConfigError as error:
            problems += error.problems
            typed = {each.origin.text for each in error.problems if each.origin is not None and each.origin.typed}
            rest = [word for word in overrides if word not in typed]
            if len(rest) == len(overrides):
                return None, problems
            overrides = rest


def _traced(problems: Sequence[Problem], config: DictConfig) -> list[Problem]:
    """Return the problems with what set their keys."""
    try:
        return located(problems, origins(config)) if problems else []
    except Exception:  # a config that was read from one file, or a file that is gone: tell the rest all the same
        return list(problems)


def require_choice(config: DictConfig, request: Request) -> None:
    """Refuse a command line that says nothing yet, with the experiments there are. Raises ConfigError."""
    if OmegaConf.select(config, "hydra.runtime.choices.experiment") is not None or "environment" in config:
        return
    folders = [config_folder(), *([Path(request.source.folder)] if request.source.folder else [])]
    names = sorted(path.stem for folder in folders for path in (folder / "experiment").glob("*.yaml"))
    raise ConfigError(Problem("experiment", "nothing is chosen yet", f"experiment=NAME, one of: {', '.join(names)}"))


def require_folder(config: DictConfig | None, *, multirun: bool) -> None:
    """Refuse a config whose results could not be written. Raises ConfigError."""
    problem = None if config is None else folder_problem(config, "hydra.sweep.dir" if multirun else "hydra.run.dir")
    if problem is not None:
        raise ConfigError(problem)


def folder_problem(config: DictConfig, key: str) -> Problem | None:
    """Return why the folder above the run folder, which `key` names, cannot be written, if it cannot."""
    try:
        folder = Path(str(OmegaConf.select(config, key))).parent
    except OmegaConfBaseException as error:
        return Problem(key, str(error).splitlines()[0])
    try:
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=there):  # nothing is made before something runs
            return None
    except OSError as error:
        message = f"{folder} cannot be written: {error.strerror or error}"
        return Problem("paths.outputs", message, "choose another folder: paths.outputs=FOLDER")
