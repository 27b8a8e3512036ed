"""Checks of a command line before a run folder exists."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config import (
    AllowList,
    Composed,
    ConfigError,
    ErrorDetail,
    Source,
    Validated,
    compose,
    group_choices,
    untried_choices,
    validate,
    validate_names,
    variants,
)
from pamiq_exp.config.hydra_loader import Loader
from pamiq_exp.jobs.online import keep_offline
from pamiq_exp.jobs.request import Request, find_trusted_packages, print_message

SHOWN_CHOICES = 5
SPLIT = "other choices have a place for it: give them a sweep of their own"


def preflight(request: Request) -> list[Validated]:
    """Validate every config that this command line asks for, and that there is a place for its results.

    Errors in names alone are reported before torch is imported.

    Raises:
        ConfigError: With all errors of the first config that has any.
    """
    lists = variants(request.overrides, request.source) if request.flags.multirun else [request.overrides]
    configs = [_compose_job(overrides, lists, request) for overrides in lists]
    for config in configs:
        require_choice(config, request)
    if request.flags.multirun:
        for words in group_choices(request.overrides, request.source):
            compose(words, request.source)  # may not set up Hydra: see `Loader`
    found = refuse(configs, request.allow, dry_run=request.dry_run)
    tried = request.flags.multirun and request.dry_run
    if untried := untried_choices(request.overrides, request.source) if tried else []:
        print_message(untried_message(untried, len(configs)))
    keep_offline(configs, request.online)
    require_folder(configs[0], multirun=bool(request.flags.multirun))
    return found


def _compose_job(overrides: Sequence[str], lists: Sequence[Sequence[str]], request: Request) -> Composed:
    """Compose one job of all. Raises ConfigError, which names the job by its choices."""
    try:
        return compose(overrides, request.source)
    except ConfigError as error:
        choices = " ".join(word for word in overrides if word not in request.overrides)
        if not choices:
            raise
        others_compose = any(_composes(others, request) for others in lists if others != overrides)
        raise ConfigError(
            [
                replace(each, message=f"with {choices}, {each.message}", hint=SPLIT if others_compose else each.hint)
                for each in error.errors
            ]
        ) from error


def _composes(overrides: Sequence[str], request: Request) -> bool:
    try:
        compose(overrides, request.source)
    except ConfigError:
        return False
    return True


def refuse(configs: Sequence[Composed], allow: AllowList, *, dry_run: bool = True) -> list[Validated]:
    """Raise ConfigError with all errors of the first config that has any; print the warnings of the dry run.

    Those that show without importing anything come first, for all configs; the dry run comes last, of each config
    once if some differ in their seeds alone.

    Args:
        configs: Composed.
        allow: What they may name.
        dry_run: Whether to try the parts on each other.
    """
    for config in configs:
        validate_names(config, allow)
    find_trusted_packages(allow)
    kinds: set[str] = set()
    found: list[Validated] = []
    for config in configs:
        kind = repr(config.tree | {"seed": 0})
        found.append(validate(config, allow, dry_run=dry_run and kind not in kinds))
        kinds.add(kind)
    if warnings := list(dict.fromkeys(str(warning) for each in found for warning in each.warnings)):
        print_message(warnings_message(warnings))
    return found


def untried_message(choices: Sequence[str], tried: int) -> str:
    """Return a message on the choices of a sweep that only its jobs check."""
    kinds = f"{tried} of the configs of this sweep were tried in a dry run, every choice of each key once"
    if not choices:
        return kinds
    shown = ", ".join(choices[:SHOWN_CHOICES]) + (", ..." if len(choices) > SHOWN_CHOICES else "")
    return f"{kinds} but for {len(choices)}, which their jobs will check: {shown}"


def warnings_message(warnings: Sequence[str]) -> str:
    """Return a message with the warnings of the dry run, whose data are generated."""
    lines = [line for warning in warnings for line in warning.splitlines()]
    return "\n".join(["warnings, which stop nothing:", *(f"  {line}" for line in lines)])


def compose_what_can_be(overrides: Sequence[str], source: Source) -> tuple[Composed | None, list[ErrorDetail]]:
    """Compose a config without the overrides that name nothing, and return what is wrong with those."""
    errors: list[ErrorDetail] = []
    while True:
        try:
            return compose(overrides, source), errors
        except ConfigError as error:
            errors += error.errors
            typed = {each.origin.text for each in error.errors if each.origin is not None and each.origin.typed}
            rest = [word for word in overrides if word not in typed]
            if len(rest) == len(overrides) or any(map(_chooses_the_whole, typed)):
                return None, errors
            overrides = rest


def _chooses_the_whole(word: str) -> bool:
    """Whether nothing can be said of a config without this word: it may choose the experiment."""
    return "=" not in word or word.lstrip("+").startswith("experiment=")


def require_choice(composed: Composed, request: Request) -> None:
    """Refuse a command line without an experiment, with the experiments there are. Raises ConfigError."""
    chosen = OmegaConf.select(composed.config, "hydra.runtime.choices.experiment")
    if chosen is not None or "environment" in composed.tree:
        return
    names = Loader(request.source).get_group_options("experiment")
    raise ConfigError(
        ErrorDetail("experiment", "nothing is chosen yet", f"experiment=NAME, one of: {', '.join(names)}")
    )


def require_folder(composed: Composed, *, multirun: bool) -> None:
    """Refuse a config whose results could not be written. Raises ConfigError."""
    detail = folder_error(composed.config, "hydra.sweep.dir" if multirun else "hydra.run.dir")
    if detail is not None:
        raise ConfigError(detail)


def folder_error(config: DictConfig, key: str) -> ErrorDetail | None:
    """Return why the folder above the run folder, which `key` names, cannot be written, if it cannot."""
    try:
        named = Path(str(OmegaConf.select(config, key)))
    except OmegaConfBaseException as error:
        return ErrorDetail(key, str(error).splitlines()[0])
    folder = named.parent
    try:
        named.exists()
        there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=there):  # nothing is made before something runs
            return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            longest = max(named.parts, key=len)
            message = f"{longest[:20]}... has {len(longest)} characters, more than the disk takes for a name"
            return ErrorDetail(key, message, f"choose a shorter name: {key}=FOLDER")
        message = f"{folder} cannot be written: {error.strerror or error}"
        return ErrorDetail("paths.outputs", message, "choose another folder: paths.outputs=FOLDER")
