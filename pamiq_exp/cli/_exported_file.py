"""Reader of exported files. They are untrusted: another person may have written them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pamiq_exp.analysis import apply_changes, content_hash
from pamiq_exp.config import Composed, Composition, ConfigError, ErrorDetail, compose_again, plain_file
from pamiq_exp.config.checks.static import TOP_LEVEL
from pamiq_exp.jobs.resume import refuse_folder
from pamiq_exp.run_folder import file_names, list_checkpoints

FORMAT = 1
_MOST_RUNS = 200
"""Composing one takes some fifty milliseconds."""
PRIMARY = "config"
HUB = "--hub"
_OURS = {"tracking": {"terminal": {"_target_": "pamiq_exp.tracking.TerminalTracker"}}, "paths": {"outputs": "outputs"}}
_MAY_HOLD = frozenset(TOP_LEVEL) - {"paths", "spaces", "tracking"}
_NAME = re.compile(r"\w[\w.+@ -]{0,99}")


@dataclass(frozen=True)
class ExportedRun:
    """One run of an exported file.

    Attributes:
        composed: Its config, ready to be validated.
        title: Arm and task, if there are several.
        metrics: What it ended with.
        seed: Its root seed.
    """

    composed: Composed
    title: str
    metrics: Mapping[str, float]
    seed: int


@dataclass(frozen=True)
class ExportedFile:
    """An exported file.

    Attributes:
        experiment_name: Names the results.
        runs: What is to be run.
        facts: Everything else in the file: budget, versions, code, machine.
        edited: Whether what is to be run was changed after the export.
    """

    experiment_name: str
    runs: Sequence[ExportedRun]
    facts: Mapping[str, Any]
    edited: bool

    def fact(self, *path: str) -> Any:
        """Return the value at `path`; None without one."""
        found: Any = self.facts
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def is_shared_folder(path: Path) -> bool:
    """Whether a folder is one that `export --hub` wrote, and not that of a run."""
    return os.path.isfile(path / file_names.EXPORTED) and not os.path.lexists(path / file_names.MANIFEST)


def read_exported_file(path: Path, overrides: Sequence[str] = (), *, number: int | None = None) -> ExportedFile:
    """Read an exported file, or the one in a folder that `export --hub` wrote.

    Args:
        path: The file or the folder.
        overrides: They are set in each of its runs.
        number: The only run that is read; None for all.

    Raises:
        ConfigError: It cannot be read, is no such file, holds what may not be shared, or lies in a folder with a link
            that leads out of it.
    """
    if is_shared_folder(path):
        refuse_folder(path)
        path = path / file_names.EXPORTED
    if not os.path.isfile(path):
        hint = f"give a file that `export RUN -o FILE` wrote, or a folder of `export RUN {HUB} FOLDER`"
        raise ConfigError(ErrorDetail("", f"there is no file {path.absolute()}", hint))
    plain = plain_file(path)
    if not _are_names(plain):
        raise ConfigError(ErrorDetail("", f"{path} has keys that are no texts", "export the experiment again"))
    version, config, runs = plain.get("format"), plain.get("config"), plain.get("runs")
    if not isinstance(version, int) or not isinstance(config, dict) or not isinstance(runs, list) or not runs:
        raise ConfigError(ErrorDetail("", f"{path} is no exported experiment", "export one: export RUN -o paper.yaml"))
    if version > FORMAT:
        raise ConfigError(ErrorDetail("format", f"{path} was written by a later pamiq_exp", "update pamiq_exp"))
    if len(runs) > _MOST_RUNS:
        raise ConfigError(ErrorDetail("runs", f"{len(runs)} are more than {_MOST_RUNS}", "split the file"))
    name = config.get("experiment_name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(ErrorDetail("config.experiment_name", f"{name!r} is no name for a folder"))
    if number is not None and not 0 <= number < len(runs):
        raise ConfigError(ErrorDetail("--run", f"there is no run {number}", f"there are 0 to {len(runs) - 1}"))
    read = [
        _read_run(path, config, run, f"runs[{index}]", overrides)
        for index, run in enumerate(runs)
        if number in (None, index)
    ]
    edited = plain.get("content_sha256") != content_hash(config, runs)
    facts = {str(key): value for key, value in plain.items() if key not in ("config", "runs")}
    return ExportedFile(name, read, facts, edited)


def models_of(folder: Path, number: int) -> Path:
    """Return the checkpoint with the models of a run in a folder of `export --hub`. Raises ConfigError without one."""
    found = list_checkpoints(folder / file_names.MODELS / str(number))
    if not found:
        message = f"there are no models of run {number} in {folder / file_names.MODELS}"
        raise ConfigError(ErrorDetail("--run", message, "take another run, or run it again: reproduce FOLDER"))
    return found[-1]


def _read_run(path: Path, base: Mapping[Any, Any], run: object, key: str, overrides: Sequence[str]) -> ExportedRun:
    if not isinstance(run, dict):
        raise ConfigError(ErrorDetail(key, f"expected keys and values, not {run!r}"))
    changes, metrics = run.get("changes") or {}, run.get("metrics") or {}
    if not isinstance(metrics, dict) or not _are_changes(changes):
        raise ConfigError(ErrorDetail(key, "expected `changes` with `set` and `remove`, and `metrics` by name"))
    tree = apply_changes({str(name): value for name, value in base.items()}, changes)
    refused = [name for name in tree if name not in _MAY_HOLD]
    if refused:
        hint = f"take it out; a shared config holds {', '.join(sorted(_MAY_HOLD))}"
        raise ConfigError(
            [ErrorDetail(f"config.{name}", "may not be set by a shared config", hint) for name in refused]
        )
    if tree.get("experiment_name") != base.get("experiment_name"):
        raise ConfigError(ErrorDetail(f"{key}.changes", "may not name another experiment"))
    text = OmegaConf.to_yaml(OmegaConf.create(tree | _OURS))
    composed = compose_again(Composition(PRIMARY, (), {PRIMARY: text}), overrides, file=str(path))
    title = " / ".join(str(run[name]) for name in ("arm", "task") if run.get(name))
    numbers = {str(name): value for name, value in metrics.items() if isinstance(value, int | float)}
    seed = tree.get("seed")
    return ExportedRun(composed, title, numbers, seed if isinstance(seed, int) else 0)


def _are_names(tree: object) -> bool:
    """Whether all keys of a tree are texts."""
    if isinstance(tree, dict):
        return all(isinstance(key, str) and _are_names(value) for key, value in tree.items())
    return not isinstance(tree, list) or all(map(_are_names, tree))


def _are_changes(changes: object) -> bool:
    if not isinstance(changes, dict) or not changes.keys() <= {"set", "remove"}:
        return False
    removed = changes.get("remove", [])
    paths = isinstance(removed, list) and all(
        isinstance(path, list) and path and all(isinstance(name, str) for name in path) for path in removed
    )
    return paths and isinstance(changes.get("set", {}), dict)
