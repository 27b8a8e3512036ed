"""Checkpoints: whole or absent, and free of pickle.

A checkpoint is a folder `step_000012000` with JSON for plain data, one safetensors file for each group of
tensors, and a manifest with the schema version, sizes and checksums. It is written under another name,
flushed to the disk, and only then renamed, so that a folder of that name is always complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.files import open_file, read_bytes, read_json, sync_folder
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.manifest import list_checkpoints
from pamiq_exp.runtime.tensor_file import DTYPE_NAMES, read_tensors

SCHEMA_VERSION = 1
_PREFIX = file_names.CHECKPOINT_PREFIX
_MANIFEST = file_names.MANIFEST
_STATE = "state.json"
_WRITE_BYTES = 1 << 22


class CheckpointError(Exception):
    """A checkpoint cannot be used; the message names the reason and what to do."""


@dataclass(frozen=True)
class WrittenGroups:
    """Groups of a checkpoint whose tensors are on the disk, and what the checkpoint is to hold of them besides.

    Attributes:
        structure: Each group's plain data, with references to its tensors.
        files: Size and checksum of each file.
    """

    structure: dict[str, Any]
    files: dict[str, dict[str, Any]]


GroupsWriter: TypeAlias = Callable[[Path], WrittenGroups]
"""Writes groups whose state was copied before, here or in another process, into the folder of a checkpoint."""


def write_groups(groups: Mapping[str, State], folder: Path) -> WrittenGroups:
    """Write the tensors of groups into a folder, each group's to a file of its own."""
    written = WrittenGroups({}, {})
    for group, state in groups.items():
        tensors: dict[str, torch.Tensor] = {}
        written.structure[group] = _pack(state, group, tensors)
        if tensors:
            name = f"{group}.safetensors"
            written.files[name] = _write_tensors(folder / name, tensors)
    return written


class StateCopy:
    """The state of groups as it was copied: writes it when it is called.

    Args:
        groups: See `write_groups`. Nothing else changes them.
    """

    def __init__(self, groups: Mapping[str, State]) -> None:
        self.groups = groups

    def __call__(self, folder: Path) -> WrittenGroups:
        """See `write_groups`."""
        return write_groups(self.groups, folder)


def write_checkpoint(
    folder: Path,
    step: int,
    groups: Mapping[str, State],
    keep: int,
    best: str | None = None,
    others: Sequence[GroupsWriter] = (),
) -> Path:
    """Write one checkpoint below `folder` and remove all but the newest `keep` and the best one.

    Args:
        folder: The run's `checkpoints` folder; made if it does not exist.
        step: Environment step, part of the name.
        groups: Nested plain data and tensors; each group's tensors go to a file of their own.
        keep: How many of the newest checkpoints stay.
        best: Name of another one that stays.
        others: Write further groups.

    Raises:
        OSError: If the disk is full or read-only; nothing half-written stays behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_PREFIX}{step:09d}"
    unfinished = folder / f".{target.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        structure: dict[str, Any] = {}
        files: dict[str, dict[str, Any]] = {}
        writers: list[GroupsWriter] = [partial(write_groups, groups), *others]
        for write in writers:
            written = write(unfinished)
            structure |= written.structure
            files |= written.files
        files[_STATE] = _write_bytes(unfinished / _STATE, json.dumps(structure).encode())
        manifest = {"schema_version": SCHEMA_VERSION, "step": step, "groups": sorted(structure), "files": files}
        manifest["sha256"] = manifest_checksum(manifest)
        _write_bytes(unfinished / _MANIFEST, json.dumps(manifest, indent=2).encode())
        sync_folder(unfinished)
        _retire(target)
        unfinished.rename(target)
        sync_folder(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    remove_old_checkpoints(folder, keep, best)
    return target


def remove_old_checkpoints(folder: Path, keep: int, best: str | None) -> None:
    """Remove all checkpoints but the newest `keep` and the one of the name `best`."""
    for old in list_checkpoints(folder)[:-keep]:
        if old.name != best:
            _retire(old)


def remove_leftovers(folder: Path) -> None:
    """Remove what an interrupted save or clean-up left behind."""
    if folder.is_dir():
        for path in folder.glob(f".{_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)


def read_checkpoint(path: Path, only: Collection[str] | None = None) -> dict[str, State]:
    """Read one checkpoint, after checking every byte that is read.

    Args:
        path: Its folder.
        only: The groups that are read; None for all. A replay buffer may be far larger than the models.

    Raises:
        CheckpointError: If a file is missing or changed, the schema is of a later version, or it is no checkpoint.
    """
    manifest = _read_manifest(path)
    try:
        files = manifest["files"]
        chosen = [group for group in manifest["groups"] if only is None or group in only]
        for name in (_STATE, *(name for name in files if name.partition(".")[0] in chosen)):
            _verify(path, name, files[name])
        structure = json.loads(read_bytes(path / _STATE, most=files[_STATE]["size"]))
        groups: dict[str, State] = {}
        for group in chosen:
            name = f"{group}.safetensors"
            groups[group] = _unpack(structure[group], read_tensors(path / name) if name in files else {})
        return groups
    except (AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        message = f"{path} is no checkpoint of pamiq_exp ({type(error).__name__}: {error}); take another one"
        raise CheckpointError(message) from error


def copy_state(state: Any) -> Any:
    """Copy a nested state, tensors to the CPU, so that it stays as it is while the run goes on."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, np.ndarray):
        return state.copy()
    if isinstance(state, Mapping):
        return {key: copy_state(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return [copy_state(value) for value in state]
    return state


def pack_state(state: State, address: str) -> None:
    """Check that a checkpoint could hold a state; nothing is written.

    Raises:
        TypeError: It holds something else than numbers, text, arrays and tensors; the message names the place.
    """
    _pack(state, address, {})


def _pack(value: Any, address: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Replace tensors by references; raise TypeError for anything that is not plain data."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        tensors[address] = _plain_tensor(value, address)
        return {f"${kind}": address}
    if isinstance(value, Mapping):
        items = [[_plain_key(key, address), _pack(item, f"{address}.{key}", tensors)] for key, item in value.items()]
        return {"$map": items}
    if isinstance(value, (list, tuple)):
        return [_pack(item, f"{address}.{index}", tensors) for index, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"the state {address} holds a {type(value).__name__}; use numbers, text, arrays and tensors")


def _plain_tensor(value: torch.Tensor | NDArray[Any], address: str) -> torch.Tensor:
    try:
        # Torch warns of arrays that may not be written to, such as those that have come through Ray.
        tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.require(value, requirements="W"))
    except TypeError:
        tensor = None
    if tensor is None or tensor.dtype not in DTYPE_NAMES:
        known = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPE_NAMES)
        raise TypeError(f"the state {address} is an array of {value.dtype}; a checkpoint takes {known}")
    return tensor


def _plain_key(key: object, address: str) -> int | str:
    """Optimizers number their parameters, so keys may be whole numbers, which keys of JSON objects cannot be."""
    if isinstance(key, (int, str)):
        return key
    raise TypeError(f"the state {address} has a key of type {type(key).__name__}; use text or whole numbers")


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if isinstance(value, dict):
        if "$map" in value:
            return {key: _unpack(item, tensors) for key, item in value["$map"]}
        if "$tensor" in value:
            return tensors[value["$tensor"]]
        return tensors[value["$array"]].numpy()
    return value


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Write a safetensors file in small pieces.

    The library's own writer copies everything into one bytes object while it holds the interpreter lock,
    which would stop the environment for as long; plain writes and checksums of large pieces let go of it.
    """
    header: dict[str, Any] = {}
    position = 0
    flat = []
    # Widest elements first: every tensor then starts at a multiple of its element size.
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        data = tensor.contiguous()
        size = data.numel() * data.element_size()
        header[name] = {
            "dtype": DTYPE_NAMES[data.dtype],
            "shape": list(data.shape),
            "data_offsets": [position, position + size],
        }
        position += size
        if size:
            flat.append(data.reshape(-1).view(torch.uint8).numpy())
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return _write_pieces(path, [len(encoded).to_bytes(8, "little") + encoded], flat)


def _write_bytes(path: Path, content: bytes) -> dict[str, Any]:
    return _write_pieces(path, [content], [])


def _write_pieces(path: Path, head: list[bytes], arrays: list[NDArray[np.uint8]]) -> dict[str, Any]:
    digest = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        pieces = [memoryview(content) for content in head] + [memoryview(array.data) for array in arrays]
        for piece in pieces:
            for start in range(0, len(piece), _WRITE_BYTES):
                part = piece[start : start + _WRITE_BYTES]
                digest.update(part)
                size += len(part)
                while len(part):
                    part = part[file.write(part) :]
        os.fsync(file.fileno())
    return {"size": size, "sha256": digest.hexdigest()}


def _retire(path: Path) -> None:
    """Remove a checkpoint so that half of it is never taken for a whole one: rename first."""
    if path.exists():
        doomed = path.with_name(f".{path.name}.removed")
        shutil.rmtree(doomed, ignore_errors=True)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: Any = read_json(path / _MANIFEST)
        version = int(manifest["schema_version"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: its manifest cannot be read ({error})") from error
    if version > SCHEMA_VERSION:
        raise CheckpointError(
            f"{path} was written by a later pamiq_exp (checkpoint schema {version}, known here: up to "
            f"{SCHEMA_VERSION}); update pamiq_exp to resume from it"
        )
    if manifest.get("sha256") != manifest_checksum(manifest):
        raise CheckpointError(f"{path} is damaged: its manifest is not what was written (checksum differs)")
    return dict(manifest)


def manifest_checksum(manifest: Mapping[str, Any]) -> str:
    """Return the checksum of a manifest, which it holds as `sha256`: that of all else in it."""
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _verify(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    file = folder / name
    if Path(name).name != name or file.is_symlink():
        raise CheckpointError(f"{folder} is no checkpoint of pamiq_exp: {name!r} leads out of it")
    try:
        with open_file(file, most=entry["size"]) as content:
            size = os.fstat(content.fileno()).st_size
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except FileNotFoundError:
        raise CheckpointError(f"{file.parent} is damaged: {file.name} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{file.parent} is damaged: {error}") from error
    if size != entry["size"]:
        raise CheckpointError(f"{file.parent} is damaged: {file.name} has {size} bytes instead of {entry['size']}")
    if digest != entry["sha256"]:
        raise CheckpointError(f"{file.parent} is damaged: {file.name} is not what was written (checksum differs)")
