"""Going on with a run: `resume RUN`, and `run ... --resume`.

The config is composed again from what the run has kept, as it was typed then, with what is typed now on top: values and
choices of groups. What is refused leaves the run as it was.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import OmegaConf

from pamiq_exp.config import Composed, Composition, ConfigError, ErrorDetail, Source, compose_again, nearest, plain_file
from pamiq_exp.config.hydra_loader import is_hydras
from pamiq_exp.config.words import quoted
from pamiq_exp.files import read_yaml
from pamiq_exp.jobs.drift import changes_of_config, changes_of_files, changes_of_versions
from pamiq_exp.jobs.online import keep_offline
from pamiq_exp.jobs.preflight import refuse
from pamiq_exp.jobs.request import Request, print_message
from pamiq_exp.run_folder import (
    RunFolder,
    RunFolderError,
    file_names,
    list_checkpoints,
    mask_secrets,
    read_manifest,
)


def go_on(folder: Path | None, request: Request) -> int | None:
    """Go on with the run in `folder` and return its exit status; None if there is nothing to go on with.

    Args:
        folder: The run folder that was typed.
        request: The command line.

    Raises:
        ConfigError: No folder was typed, it holds the run of another command, or the run cannot go on.
    """
    if folder is None:
        hint = "name the folder of the run (hydra.run.dir=FOLDER), or use: python -m pamiq_exp resume RUN"
        raise ConfigError(
            ErrorDetail("--resume", "needs the folder of the run, which is named after the time by default", hint)
        )
    if not os.path.exists(folder / file_names.MANIFEST):
        return None
    from pamiq_exp.jobs.job import newest_whole

    typed = [word for word in request.overrides if not is_hydras(word)]
    masked: Sequence[str] = mask_secrets(typed)
    kept = overrides_of(folder)
    if kept != masked:
        hint = f"to change it: python -m pamiq_exp resume {folder} key=value; or choose another folder"
        message = f"{folder} holds a run of another command: {' '.join(kept) or 'without overrides'}"
        raise ConfigError(ErrorDetail("--resume", message, hint))
    try:
        run = RunFolder(folder)
        with run.owned():  # raises for a run that is active elsewhere
            state = run.read_manifest().get("state")
    except RunFolderError as error:
        raise ConfigError(ErrorDetail("--resume", str(error))) from error
    if state == "finished":
        print_message(f"{folder} has finished already: there is nothing left to do")
        return 0
    checkpoint = newest_whole(folder)
    if checkpoint is None:
        return None
    secrets = [word for word, shown in zip(typed, masked, strict=True) if word != shown]  # no run folder keeps them
    return resume_run(folder, [*secrets, f"resume.checkpoint={checkpoint.name}"], request)


def resume_run(folder: Path, words: Sequence[str], request: Request) -> int:
    """Go on with a run, and return its exit status.

    Args:
        folder: The run folder.
        words: What is changed (`key=value`), and options of this command.
        request: What else was typed: packages that may be named, where configs come from.

    Raises:
        ConfigError: The run cannot go on like this.
    """
    require_run(folder)
    refuse_folder(folder)
    options, changes = _take_options(words)
    kept = KeptConfig.read(folder)
    config, before_changes = kept.compose(changes, request.source), kept.compose()
    _refuse_seed(before_changes, config)
    before = overrides_of(folder)
    # A secret that is given again is no change: the words of a run stay what they were.
    overrides = [*before, *(word for word in changes if mask_secrets([word])[0] not in before)]
    [validated] = refuse([config], request.allow, dry_run=request.dry_run)
    keep_offline([config], request.online)
    checkpoint = _choose_checkpoint(folder, options.checkpoint)
    print_message(
        "\n".join(
            [f"resuming {folder} from {checkpoint.name}", *_changed(folder, kept, before_changes, config, request)]
        )
    )
    from pamiq_exp.jobs.job import Job, run_job

    group = folder.parent.name if folder.parent.parent.parent.name == "sweeps" else None
    return run_job(
        Job(
            validated,
            folder,
            overrides,
            group=group,
            resume_from=checkpoint,
            resume_partial=options.partial,
        )
    )


def require_run(folder: Path) -> None:
    """Refuse a folder that no run has written, before all of it is looked through. Raises ConfigError."""
    if not any((folder / name).exists() for name in (file_names.MANIFEST, file_names.CONFIG, file_names.COMPOSITION)):
        hint = "name the folder of a run (outputs/NAME/DATE); a sweep goes on by its own command line with --resume"
        raise ConfigError(ErrorDetail("", f"{folder} is no run folder: there is no {file_names.MANIFEST}", hint))


def refuse_folder(folder: Path) -> None:
    """Refuse a folder that leads elsewhere, and one whose manifest cannot be read. Raises ConfigError."""
    try:
        read_manifest(folder)
    except RunFolderError as error:
        raise ConfigError(ErrorDetail("", str(error))) from error


@dataclass(frozen=True)
class KeptConfig:
    """What a run has kept of its config.

    Attributes:
        composition: What it was composed from.
        here: Where its results are: the user has named the folder, whatever stands in it.
        moved: Whether `here` takes the place of a folder that was typed.
        file: What keeps the composition.
        is_complete: Whether files were kept; a run in Python keeps only the result.
    """

    composition: Composition
    here: str
    moved: bool
    file: Path
    is_complete: bool

    @classmethod
    def read(cls, folder: Path) -> KeptConfig:
        """Read what the run in `folder` has kept. Raises ConfigError for what cannot have been composed."""
        file = folder / file_names.COMPOSITION
        composition = Composition.read(file)
        is_complete = composition is not None
        if composition is None:
            file = folder / file_names.CONFIG
            plain = plain_file(file)
            for key in ("shared", "spaces"):  # resolved: their values stand where they are read
                plain.pop(key, None)
            composition = Composition("config", (), {"config": OmegaConf.to_yaml(OmegaConf.create(plain))})
        words = tuple(word for word in composition.overrides if not word.startswith("paths.outputs="))
        moved = words != composition.overrides
        here = f"paths.outputs={quoted(str(folder.resolve().parent.parent))}"
        return cls(replace(composition, overrides=words), here, moved, file, is_complete)

    def compose(self, changes: Sequence[str] = (), source: Source = Source()) -> Composed:
        """Compose the config again, with changes. Raises ConfigError for what cannot be composed."""
        words = [self.here, *changes] if self.moved else list(changes)
        return compose_again(self.composition, words, source, str(self.file))


def _refuse_seed(old: Composed, new: Composed) -> None:
    before, after = old.tree.get("seed"), new.tree.get("seed")
    if before != after:
        message = f"was {before} when the run began, and its random streams go on from the checkpoint"
        raise ConfigError(ErrorDetail("seed", message, f"leave it out, or start another run with seed={after}"))


def _changed(folder: Path, kept: KeptConfig, before: Composed, config: Composed, request: Request) -> list[str]:
    """Return what has changed since the run began."""
    lines = [*changes_of_config(before.tree, config.tree), *changes_of_versions(read_manifest(folder))]
    if kept.is_complete and (edited := changes_of_files(kept.composition, request.source)):
        lines.append(f"edited since, and left as they were when the run began: {', '.join(edited)}")
    return [f"  {line}" for line in lines]


@dataclass(frozen=True)
class _Options:
    checkpoint: str | None = None
    partial: bool = False


def _take_options(words: Sequence[str]) -> tuple[_Options, list[str]]:
    """Take `resume.checkpoint` and `resume.partial` out of the overrides."""
    options, rest = _Options(), []
    for word in words:
        key, _, value = word.partition("=")
        if key == "resume.checkpoint":
            options = replace(options, checkpoint=value)
        elif key == "resume.partial" and value in ("true", "false"):
            options = replace(options, partial=value == "true")
        elif key.startswith("resume."):
            hint = "use resume.checkpoint=step_000012000 or resume.partial=true"
            raise ConfigError(ErrorDetail(key, f"{word} is not an option of resume", hint))
        else:
            rest.append(word)
    return options, rest


def _choose_checkpoint(folder: Path, name: str | None) -> Path:
    """Return the newest checkpoint or the one of that name, if it is whole.

    An earlier one is never taken unasked: the run would silently lose what lies between.
    """
    from pamiq_exp.runtime.checkpoints import CheckpointError, read_checkpoint

    checkpoint, earlier = find_checkpoint(folder, name, "resume.checkpoint")
    try:
        read_checkpoint(checkpoint)
    except CheckpointError as error:
        hint = f"to go on from the one before it, add resume.checkpoint={earlier[-1]}" if earlier else "start anew"
        raise ConfigError(ErrorDetail("", str(error), hint)) from error
    return checkpoint


def find_checkpoint(folder: Path, name: str | None, key: str) -> tuple[Path, list[str]]:
    """Return the newest checkpoint of a run or the one of that name, and the names of earlier ones.

    Raises ConfigError, for the option `key`, if there is none; nothing is read.
    """
    checkpoints = list_checkpoints(folder / file_names.CHECKPOINTS)
    if not checkpoints:
        hint = "start the experiment anew; with launcher.checkpoint.every_seconds=60 it saves on the way"
        raise ConfigError(ErrorDetail("", f"there is no checkpoint in {folder / 'checkpoints'}", hint))
    names = [checkpoint.name for checkpoint in checkpoints]
    if name is not None and name not in names:
        raise ConfigError(ErrorDetail(key, f"there is no {name}", nearest(name, names, listing="checkpoints")))
    index = len(names) - 1 if name is None else names.index(name)
    return checkpoints[index], names[:index]


def overrides_of(folder: Path) -> list[str]:
    """Return what was typed for the run in `folder`, secrets masked."""
    path = folder / file_names.OVERRIDES
    try:
        typed = read_yaml(path)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(ErrorDetail("", str(error), "put a whole one back, or remove it")) from error
    if not isinstance(typed, list) or not all(isinstance(word, str) for word in typed):
        raise ConfigError(ErrorDetail("", f"{path} is no list of words", "put a whole one back, or remove it"))
    return typed
