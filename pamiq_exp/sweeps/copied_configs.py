"""The config files of a sweep, copied when it starts: what is edited later changes nothing in it.

Hydra composes each job of a sweep anew, in whichever process runs it. So the whole search path is copied into the
sweep's folder once, and Hydra is pointed at the copy: jobs that start in an hour, or on another machine, find the files
as they were.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from pamiq_exp.config.compose import compose_config
from pamiq_exp.config.errors import ConfigError, ErrorDetail
from pamiq_exp.config.hydra_loader import Source
from pamiq_exp.config.trust import is_trusted
from pamiq_exp.config.words import parse_overrides, quoted, variants
from pamiq_exp.jobs.masking import close_to_others
from pamiq_exp.jobs.request import Request
from pamiq_exp.option_files import config_folder, leads_out
from pamiq_exp.run_folder import file_names

FOLDER = "conf"
"""Where the copies lie below the sweep's folder."""

MOST_FILES = 5000
_LEFT_OUT = {"__pycache__", "node_modules", "outputs", "site-packages"}
_FILE_SCHEME = "file://"


def copy_sweep_configs(request: Request, folder: Path | None = None) -> Request:
    """Copy the config files of a sweep into its folder, and return the request that reads the copies from there.

    Args:
        request: A sweep that was found sound.
        folder: The sweep's folder; by default a new one, as the config names it. Copies that lie there are kept.
    """
    first, *_ = variants(request.overrides, request.source)
    if folder is None:
        folder = Path(str(OmegaConf.select(compose_config(first, request.source), "hydra.sweep.dir")))
    folder = folder.absolute()
    if not folder.exists():
        folder.mkdir(parents=True)
        close_to_others(folder)
    source = copy_configs_of(request.source, folder)
    flags = copy.copy(request.flags)
    flags.overrides = [copied_override(word, folder) for word in request.overrides]
    flags.overrides.append(f"hydra.sweep.dir={quoted(str(folder))}")
    return replace(request, flags=flags, source=source)


def copy_configs_of(source: Source, folder: Path) -> Source:
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


def copied_override(word: str, folder: Path) -> str:
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
            if leads_out(path, source) and not is_trusted(path):
                continue  # no job may read it
            target_file = partial / path.relative_to(source)
            target_file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target_file)  # with its mode: what only the user may read stays so
        partial.rename(target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        message = f"the config files cannot be copied to {target}: {error.strerror or error}"
        raise ConfigError(
            ErrorDetail("hydra.sweep.dir", message, "choose another folder: paths.outputs=FOLDER")
        ) from error


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
                    raise ConfigError(ErrorDetail("--config-dir", f"{folder} holds more than {MOST_FILES} files", hint))
                yield here / file


def _copied(path: str, index: int, folder: Path) -> str:
    if re.match(r"\w+://", path) and not path.startswith(_FILE_SCHEME):
        return path  # pkg://: an installed package
    source = Path(path.removeprefix(_FILE_SCHEME))
    target = folder / FOLDER / f"searchpath_{index}"
    if source.is_dir() and not target.is_dir():
        copy_configs(source, target)
    return f"{_FILE_SCHEME}{target}"
