"""The folder that holds everything of one run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pamiq_exp._version import __version__
from pamiq_exp.files import dump_yaml, find_links, read_json, write_atomically
from pamiq_exp.run_folder import file_names
from pamiq_exp.run_folder.append_file import REMOVAL_SECONDS
from pamiq_exp.run_folder.code_state import code_state
from pamiq_exp.run_folder.folder_lock import LOCK, FolderLock, RunFolderError
from pamiq_exp.run_folder.log_file import logging_to
from pamiq_exp.run_folder.manifest import (
    checkpoint_identity,
    environment,
    machine,
    newest_checkpoint,
    package_versions,
    source_hash,
)
from pamiq_exp.run_folder.records import Value
from pamiq_exp.run_folder.secrets import mask_secrets, mask_text, mask_yaml

RunState = Literal["running", "finished", "stopped", "failed"]

DESCRIPTION_FILES = (
    file_names.CONFIG,
    file_names.OVERRIDES,
    file_names.COMPOSITION,
    file_names.MANIFEST,
    file_names.SUMMARY,
    file_names.CODE_DIFF,
)
"""The files that are written again when a run is resumed."""

_APPENDED = (file_names.LOG, file_names.METRICS, file_names.OUTPUT)
_MOST_MANIFEST_BYTES = 20_000_000
_WANDB_RUN_DEPTH = 2
"""Parts of the path of a session's folder: `wandb/offline-run-...`."""
_NOT_MOVED = (file_names.EARLIER, LOCK, file_names.JOB_LOCK, file_names.OUTPUT)
"""What belongs to the folder and not to one attempt: locks, and what a job of a sweep prints."""

_LONGEST_REASON = 4000
_RESERVE, _RESERVE_BYTES = ".reserve", 1 << 18
"""A file that is there while a run goes on, so that its end can be written when the disk has become full."""
_END_STATE = ("steps", "training_steps", "model_version", "wall_seconds")


_log = logging.getLogger(__name__)


class RunFolder:
    """The files of one run: what it was asked to do, what it did, how it ended.

    All files are whole or absent, and secrets are masked in all of them (see `mask_secrets`).

    Args:
        path: The folder; `~` stands for the user's home. It is created, with the folders in it, when it is missing.
            What is created is closed to other users; folders that were there keep their permissions.

    Raises:
        RunFolderError: The folder cannot be created or written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = user_path(path).absolute()
        self.media = self.path / file_names.MEDIA
        self.checkpoints = self.path / file_names.CHECKPOINTS
        self.failed_writes = 0
        """How often the folder was found moved or removed."""
        self._manifest: dict[str, Any] = {}
        self._lock = FolderLock(self.path)
        self._written: dict[str, str] = {}
        self._making = threading.Lock()
        try:
            refuse_links(self.path)
            self._make()
            write_atomically(self.path / ".writable", "")
            (self.path / ".writable").unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"the run folder {self.path} cannot be written: {reason}. "
                "Fix its permissions or free some space, or choose another place (paths.outputs=FOLDER)"
            ) from error

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Be the only run in this folder as long as this lasts; a run that has it already keeps it.

        Raises:
            RunFolderError: Another run works in it, in this process or another one.
        """
        if self._lock.held:
            yield
            return
        self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def require_unused(self) -> None:
        """Refuse a folder that holds a run: records of two never mix. Raises RunFolderError."""
        if (self.path / file_names.MANIFEST).exists():
            raise RunFolderError(
                f"{self.path} holds a run already: go on with it (python -m pamiq_exp resume RUN; the same command "
                "with --resume; resume_from=... of launch), or choose another folder"
            )

    def move_to_earlier(self) -> Path:
        """Move what an earlier attempt left into `earlier/N`, and return that folder."""
        earlier = self.path / file_names.EARLIER
        earlier.mkdir(exist_ok=True)
        target = earlier / str(len(os.listdir(earlier)))
        target.mkdir()
        for path in self.path.iterdir():
            if path.name not in _NOT_MOVED:
                path.rename(target / path.name)
        self._make()
        return target

    def hold(self) -> None:
        """See that the folder of this name is still that of this run; make it again if it was moved or removed.

        The new folder holds the files that describe the run. It is counted in `failed_writes` and logged.

        Raises:
            OSError: The folder of this name belongs to another run now, or cannot be made.
        """
        with self._making:
            if not self._lock.held or self._lock.in_place:
                return
            time.sleep(REMOVAL_SECONDS)
            self._make()
            try:
                self._lock.acquire()
            except RunFolderError as error:
                raise OSError(f"the folder of this run was moved or removed, and {error}") from error
            for name, content in self._written.items():
                if not (self.path / name).exists():
                    write_atomically(self.path / name, content)
            self.failed_writes += 1
        _log.error(
            "%s was moved or removed while its run goes on. It was made again: what had been written is kept where it "
            "still is, and records, log, config and manifest are written again", self.path,
        )  # fmt: skip

    def _make(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.media, self.checkpoints):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _write(self, name: str, content: str) -> None:
        write_atomically(self.path / name, content)
        self._written[name] = content

    @property
    def started(self) -> bool:
        """Whether this process has begun a run here."""
        return bool(self._manifest)

    def write_config(self, config: Mapping[str, Any], overrides: Sequence[str] = ()) -> None:
        """Write `config.yaml` (resolved) and `overrides.yaml` (what the user typed)."""
        self._write(file_names.CONFIG, _yaml(mask_secrets(config)))
        self._write(file_names.OVERRIDES, _yaml(mask_secrets(list(overrides))))

    def write_composition(self, composition: Mapping[str, Any]) -> None:
        """Write `composition.yaml`: what was typed and the files that it was put together with, `files` by name."""
        files = {name: mask_yaml(text) for name, text in composition.get("files", {}).items()}
        self._write(file_names.COMPOSITION, _yaml(mask_secrets(dict(composition)) | {"files": files}))

    @contextmanager
    def restored_on(self, *refusals: type[BaseException]) -> Iterator[None]:
        """Restore the files that describe the run if one of these is raised: a refused run leaves no trace."""
        before = {name: _bytes(self.path / name) for name in DESCRIPTION_FILES}
        try:
            yield
        except refusals:
            (self.path / _RESERVE).unlink(missing_ok=True)
            for name, content in before.items():
                self._written.pop(name, None)
                if content is None:
                    (self.path / name).unlink(missing_ok=True)
                else:
                    write_atomically(self.path / name, content)
            raise

    def start(
        self,
        *,
        experiment_name: str,
        seed: int,
        config: Mapping[str, Any] | None = None,
        command: Sequence[str] | None = None,
        threads: Mapping[str, int] | None = None,
        details: Mapping[str, Any] | None = None,
        code_folder: Path | None = None,
        resumed_from: Path | None = None,
    ) -> None:
        """Write `manifest.json` with the state `running`, and `code.diff` if the code differs from its commit.

        A folder that already has a manifest goes on: its earlier sessions are kept in `sessions`.

        Args:
            experiment_name: Name of the experiment.
            seed: Root seed.
            config: The resolved config, for its hash.
            command: The command line; by default that of this process.
            threads: Thread counts by role.
            details: More that belongs in the manifest: derived seeds, allowed targets, ...
            code_folder: Where the code of the experiment lies; by default the current folder, or, if that is
                in no repository, the one of this package.
            resumed_from: The checkpoint that the run goes on from: its start state.
        """
        code, diff = code_state(code_folder or Path.cwd())
        package = Path(__file__).parents[1]
        if not code and code_folder is None:
            code, diff = code_state(package)
        if diff:
            self._write(file_names.CODE_DIFF, mask_text(diff))
        self._manifest = mask_secrets({
            "schema": 1,
            "experiment_name": experiment_name,
            "seed": seed,
            "state": "running",
            "reason": None,
            "started": _now(),
            "ended": None,
            "start_state": checkpoint_identity(resumed_from) if resumed_from is not None else {"steps": 0},
            "end_state": None,
            "command": list(sys.orig_argv if command is None else command),
            "config_sha256": config_hash(config) if config is not None else None,
            "code": code,
            "source_sha256": source_hash(package),
            "machine": machine(),
            "environment": environment(),
            "threads": dict(threads or {}),
            **(details or {}),
            "versions": {"pamiq_exp": __version__, **package_versions()},
            "sessions": self._earlier_sessions(),
        })  # fmt: skip
        self._write_manifest()
        with suppress(OSError):  # the disk is full already
            write_atomically(self.path / _RESERVE, bytes(_RESERVE_BYTES))

    def finish(
        self,
        state: RunState,
        reason: str | None = None,
        summary: Mapping[str, Value] | None = None,
        details: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Write how the run ended: `summary.json` first, then the state, and `details`, in `manifest.json`.

        Raises:
            OSError: The folder cannot be written, or belongs to another run now.
        """
        (self.path / _RESERVE).unlink(missing_ok=True)  # on a full disk this makes room for what follows
        self.hold()
        if summary is not None:
            self._write(file_names.SUMMARY, _json(mask_secrets(dict(summary))))
        masked = None if reason is None else _shortened(mask_text(reason))
        reached = {name: summary[name] for name in _END_STATE if name in summary} if summary is not None else {}
        self._manifest = (self._manifest or self.read_manifest()) | {
            **mask_secrets(dict(details)),
            "state": state,
            "reason": masked,
            "ended": _now(),
            "end_state": reached | (newest_checkpoint(self.checkpoints) or {}),
        }
        self._write_manifest()

    def read_manifest(self) -> dict[str, Any]:
        """Return the manifest on the disk; `{}` if there is none yet. Raises RunFolderError if it cannot be read."""
        return read_manifest(self.path)

    def _write_manifest(self) -> None:
        self._write(file_names.MANIFEST, _json(self._manifest))

    def _earlier_sessions(self) -> list[dict[str, Any]]:
        before = self.read_manifest()
        if not before:
            return []
        latest = {name: before.get(name) for name in ("started", "ended", "state", "reason", "command")}
        earlier = before.get("sessions")
        return [*(earlier if isinstance(earlier, list) else ()), latest]

    def logging(self, level: int = logging.INFO) -> AbstractContextManager[None]:
        """Append everything that is logged meanwhile to `log.txt`; see `logging_to`."""
        return logging_to(self.path / file_names.LOG, self.hold, level)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the run in `folder`; `{}` if there is none yet.

    Raises:
        RunFolderError: It cannot be read, or the folder holds a link through which a run would write elsewhere.
    """
    refuse_links(folder)
    path = folder / file_names.MANIFEST
    try:
        manifest = read_json(path, most=_MOST_MANIFEST_BYTES)
    except FileNotFoundError:
        return {}
    except OSError as error:
        message = f"{error}. Put a whole one back, or remove it: what it holds of earlier sessions is lost then"
        raise RunFolderError(message) from error
    if not isinstance(manifest, dict):
        raise RunFolderError(f"{path} holds no keys and values. Put a whole one back, or remove it")
    return manifest


def _is_of_an_earlier_session(path: Path) -> bool:
    """Whether a path in a run folder lies in the folder of a session of W&B."""
    return path.parts[0] == "wandb" and len(path.parts) > _WANDB_RUN_DEPTH


def refuse_links(folder: Path) -> None:
    """Refuse a run folder through which a run would write elsewhere. Raises RunFolderError.

    W&B leaves a link to its own log in the folder of each offline run, `wandb/RUN/logs`. Nothing is written below those
    folders again: each session gets a new one.
    """
    found = [path for path in find_links(folder) if not _is_of_an_earlier_session(path.relative_to(folder))]
    if found:
        raise RunFolderError(
            f"{found[0]} is a link, a pipe or a device: what a run writes there would go elsewhere. Remove it"
        )
    written = [name for name in _APPENDED if (folder / name).exists()]
    if folders := [name for name in written if (folder / name).is_dir()]:
        raise RunFolderError(
            f"{folder / folders[0]} is a folder, and a run would write to a file of that name. Remove it"
        )
    if shared := [name for name in written if (folder / name).stat().st_nlink > 1]:
        raise RunFolderError(
            f"{folder / shared[0]} has a second name elsewhere (a hard link), and a run would write there. "
            "Copy the file, and put the copy in its place"
        )


def user_path(text: Path | str) -> Path:
    """Return a path in which a leading `~` is the user's home. Raises RunFolderError if there is none."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise RunFolderError(f"{text}: there is no home folder that ~ could stand for; write the path out") from error


def _shortened(text: str) -> str:
    """Return the beginning of an error message: some print whole arrays."""
    return (
        text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}... ({len(text)} characters; see log.txt)"
    )


def config_hash(config: Mapping[str, Any]) -> str:
    """Return a hash of a config that does not depend on the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


def _yaml(value: object) -> str:
    return dump_yaml(value, width=120)
