"""The config files of a sweep, copied when it starts: what is edited later changes nothing in it.

Hydra composes each job of a sweep anew, in whichever process runs it. So the whole search path is copied into the
sweep's folder once, and Hydra is pointed at the copy: jobs that start in an hour, or on another machine, find the files
as they were.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pamiq_exp.config.compose import parse_overrides
from pamiq_exp.config.files import config_folder
from pamiq_exp.config.hydra_loader import Source
from pamiq_exp.config.problems import ConfigError, Problem
from pamiq_exp.run_folder import file_names

FOLDER = "conf"
"""Where the copies lie below the sweep's folder."""

MOST_FILES = 5000
_LEFT_OUT = {"__pycache__", "node_modules", "outputs", "site-packages"}
_FILE_SCHEME = "file://"


def freeze(source: Source, folder: Path) -> Source:
    """Copy all files that configs from `source` can consist of, and return the source that reads the copies.

    Where copies lie already they are used as they are: a sweep that goes on stays what it was.

    Args:
        source: Where configs come from.
        folder: The sweep's folder, on a disk that every job can read.

    Raises:
        ConfigError: The folder cannot be written, or the user's config folder holds far more than configs.
    """
    copies = folder / FOLDER
    main, own = copies / "main", copies / "own"
    if not main.is_dir():
        if source.folder is not None:
            copy_configs(Path(source.folder), own)
        copy_configs(Path(source.main) if source.main else config_folder(), main)
    return replace(source, main=str(main), folder=str(own) if own.is_dir() else None, copy_of=source.folder)


def freeze_override(word: str, folder: Path) -> str:
    """Return an override of `hydra.searchpath` that names copies of its folders; any other as it is."""
    (override,) = parse_overrides([word])
    paths = override.value()
    if override.get_key_element().lstrip("+") != "hydra.searchpath" or not isinstance(paths, list):
        return word
    return f"hydra.searchpath={[_copied(str(path), index, folder) for index, path in enumerate(paths)]}"


def copy_configs(source: Path, target: Path) -> None:
    """Copy the YAML files below a folder, and nothing else. Raises ConfigError."""
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for path in config_files(source):
            copy = partial / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)  # with its mode: what only the user may read stays so
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        message = f"the config files cannot be copied to {target}: {error.strerror or error}"
        raise ConfigError(Problem("hydra.sweep.dir", message, "choose another folder: paths.outputs=FOLDER")) from error


def config_files(folder: Path) -> Iterator[Path]:
    """Yield the YAML files below a config folder; results, environments and hidden folders are no configs.

    Raises:
        ConfigError: There are more than 5000.
    """
    seen: set[Path] = set()
    count = 0
    for name, folders, files in os.walk(folder, followlinks=True):
        here = Path(name)
        resolved = here.resolve()
        if resolved in seen or file_names.MANIFEST in files or "pyvenv.cfg" in files:
            folders.clear()
            continue
        seen.add(resolved)
        folders[:] = sorted(each for each in folders if each[0] != "." and each not in _LEFT_OUT)
        for file in sorted(files):
            if file.endswith((".yaml", ".yml")):
                count += 1
                if count > MOST_FILES:
                    hint = "give a folder that holds nothing but config groups: experiment/NAME.yaml, ..."
                    raise ConfigError(Problem("--config-dir", f"{folder} holds more than {MOST_FILES} files", hint))
                yield here / file


def _copied(path: str, index: int, folder: Path) -> str:
    if re.match(r"\w+://", path) and not path.startswith(_FILE_SCHEME):
        return path  # pkg://: an installed package
    source = Path(path.removeprefix(_FILE_SCHEME))
    target = folder / FOLDER / f"searchpath_{index}"
    if source.is_dir() and not target.is_dir():
        copy_configs(source, target)
    return f"{_FILE_SCHEME}{target}"
