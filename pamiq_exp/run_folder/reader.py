"""Reading the folders of runs: `list`, `report`, `diff`, the dashboard and sweeps read them here.

Another person may have made such a folder. Everything is read through `pamiq_exp.files`; what is missing is empty, and
what is damaged is empty and reported in `errors`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeGuard

from pamiq_exp.files import BrokenFileError, parse_json, read_json, read_tail, read_yaml
from pamiq_exp.run_folder import file_names

Scalar: TypeAlias = str | float | int | bool | None
Kind = Literal["run", "sweep"]

_MARKS = (file_names.MANIFEST, file_names.OVERRIDES)
_MOST_TREE_BYTES = 20_000_000
"""Of a file that describes a run; what a run keeps of a config may be far larger than the config."""
_MOST_FOLDERS, _DEEPEST = 50_000, 32
_TAIL_BYTES = 400_000
_KINDS: Mapping[str, type] = {
    "experiment_name": str, "state": str, "reason": str, "versions": dict, "machine": dict, "threads": dict,
    "environment": dict, "code": dict, "start_state": dict, "end_state": dict, "derived_seeds": dict,
    "command": list, "sessions": list, "overrides": list, "allowed": list,
}  # fmt: skip
"""Of what kind values of a manifest are, where they are there."""


@dataclass(frozen=True)
class Place:
    """A run or a sweep below a folder.

    Attributes:
        key: Its path below that folder, `.` for the folder itself.
        folder: Where it lies.
        kind: What it is.
    """

    key: str
    folder: Path
    kind: Kind


def find_places(root: Path) -> list[Place]:
    """Return the runs and sweeps at or below a folder, in natural order. Links are not followed."""
    found: list[Place] = []
    pending = [(root, 0)]
    looked_at = 0
    while pending and looked_at < _MOST_FOLDERS:
        folder, depth = pending.pop()
        looked_at += 1
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError:
            continue  # not readable for us: its runs are not ours to show
        names = {entry.name for entry in entries}
        key = folder.relative_to(root).as_posix()
        if file_names.SWEEP in names:
            found.append(Place(key, folder, "sweep"))
        elif not names.isdisjoint(_MARKS):
            found.append(Place(key, folder, "run"))
            continue
        if depth < _DEEPEST:
            below = (each for each in entries if not each.name.startswith(".") and each.is_dir(follow_symlinks=False))
            pending += [(Path(entry.path), depth + 1) for entry in below]
    return sorted(found, key=lambda place: natural(place.key))


@dataclass(frozen=True)
class RunFiles:
    """What the files of a run say of it.

    Attributes:
        folder: Its folder.
        manifest: `manifest.json`, without values that no run writes.
        config: `config.yaml`.
        overrides: What the user typed.
        summary: `summary.json`; empty for a run that has none.
        errors: What could not be read.
    """

    folder: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    summary: Mapping[str, Scalar]
    errors: tuple[str, ...]

    @property
    def experiment_name(self) -> str:
        """Name of the experiment; that of the folder if the run never got so far."""
        return str(self.manifest.get("experiment_name") or self.config.get("experiment_name") or self.folder.name)

    @property
    def seed(self) -> int | None:
        """The root seed."""
        value = self.manifest.get("seed", self.config.get("seed"))
        return value if isinstance(value, int) else None

    @property
    def state(self) -> str:
        """`finished`, `stopped`, `failed`, `running`, or `unknown` if the run wrote no manifest."""
        return str(self.manifest.get("state") or "unknown")

    @property
    def reason(self) -> str:
        """Why the run ended."""
        return str(self.manifest.get("reason") or "")

    @property
    def machine(self) -> Mapping[str, Any]:
        """Processor, memory, system, Python: see `run_folder.machine`."""
        return mapping(self.manifest.get("machine"))

    @property
    def threads(self) -> Mapping[str, Any]:
        """Thread counts by role."""
        return mapping(self.manifest.get("threads"))

    @property
    def code(self) -> Mapping[str, Any]:
        """The state of the user's repository: see `code_state`."""
        return mapping(self.manifest.get("code"))

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and of all packages, by name."""
        python = {"python": self.machine["python"]} if "python" in self.machine else {}
        return {str(name): str(each) for name, each in {**python, **mapping(self.manifest.get("versions"))}.items()}

    @property
    def limits(self) -> Limits:
        """When the run ends by itself."""
        launcher = mapping(self.config.get("launcher"))
        return Limits(positive(launcher.get("max_steps")), positive(launcher.get("max_seconds")))


@dataclass(frozen=True)
class Limits:
    """When a run ends by itself; None for a limit that it does not have.

    Attributes:
        steps: Environment steps.
        seconds: Seconds by the wall clock.
    """

    steps: float | None = None
    seconds: float | None = None

    def fraction(self, record: Mapping[str, Any]) -> float | None:
        """Return how much of the run is over at a record, in [0, 1]; None without a limit."""
        reached = ((record.get("environment_step"), self.steps), (record.get("wall_seconds"), self.seconds))
        shares = [(positive(value) or 0.0) / most for value, most in reached if most is not None]
        return min(1.0, max(shares)) if shares else None


def read_run_files(folder: Path, *, with_config: bool = True) -> RunFiles:
    """Read the files that describe a run. A list of many runs needs no configs, which are by far the longest."""
    errors: list[str] = []
    manifest = _of_known_kinds(read_mapping(folder, file_names.MANIFEST, errors), errors)
    config = read_mapping(folder, file_names.CONFIG, errors) if with_config else {}
    overrides = read_tree(folder, file_names.OVERRIDES, errors)
    summary = read_mapping(folder, file_names.SUMMARY, errors)
    return RunFiles(
        folder=folder,
        manifest=manifest,
        config=config,
        overrides=tuple(map(str, overrides)) if isinstance(overrides, list) else (),
        summary={str(name): value for name, value in summary.items() if is_scalar(value)},
        errors=tuple(errors),
    )


def read_tree(folder: Path, name: str, errors: list[str]) -> object:
    """Return the tree in a JSON or YAML file of a run; None if it is missing or damaged, which is added to `errors`."""
    read = read_json if name.endswith(".json") else read_yaml
    try:
        return read(folder / name, most=_MOST_TREE_BYTES)
    except FileNotFoundError:
        return None
    except BrokenFileError as error:
        errors.append(f"{name} is damaged: {reason_of(error, folder)}")
    except OSError as error:
        errors.append(reason_of(error, folder))
    return None


def read_mapping(folder: Path, name: str, errors: list[str]) -> dict[str, Any]:
    """Return the keys and values in a file of a run; none if it holds anything else. See `read_tree`."""
    tree = read_tree(folder, name, errors)
    if tree is not None and not isinstance(tree, dict):
        errors.append(f"{name} is damaged: expected keys and values, not a {type(tree).__name__}")
    return mapping(tree)


def reason_of(error: OSError, folder: Path) -> str:
    """Return why a file could not be read, without the path of its folder, which the reader knows."""
    words = str(error) if error.strerror is None else f"{Path(str(error.filename)).name}: {error.strerror}"
    return words.replace(f"{folder}{os.sep}", "")


def last_record(folder: Path) -> dict[str, Any]:
    """Return the last whole record of a run; empty if there is none."""
    try:
        lines = read_tail(folder / file_names.METRICS, most=_TAIL_BYTES).splitlines(keepends=True)
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            record = parse_json(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if isinstance(record, dict):
            return record
    return {}


def modified(path: Path) -> float:
    """Return when a file was written, in seconds since 1970; 0 if there is none."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def flat_config(config: object, key: str = "", *, with_spaces: bool = True) -> Iterator[tuple[str, Scalar]]:
    """Yield each value of a config with its address, such as `models.encoder.width` or `trainers[0].rate`.

    A list of plain values is one value, as text. Descriptions of spaces can be left out: they follow from the
    environment.
    """
    if isinstance(config, dict):
        if with_spaces or not {"shape", "dtype"} <= config.keys():
            for name, value in config.items():
                yield from flat_config(value, f"{key}.{name}" if key else str(name), with_spaces=with_spaces)
    elif isinstance(config, list) and not all(map(is_scalar, config)):
        for index, value in enumerate(config):
            yield from flat_config(value, f"{key}[{index}]", with_spaces=with_spaces)
    else:
        yield key, config if is_scalar(config) else str(config)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts 10 after 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def mapping(value: object) -> dict[str, Any]:
    """Return keys and values as they are; none for anything else."""
    return value if isinstance(value, dict) else {}


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number: True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_scalar(value: object) -> TypeGuard[Scalar]:
    """Whether a value holds no others."""
    return value is None or isinstance(value, str | int | float | bool)


def positive(value: object) -> float | None:
    """Return a finite number above 0; None for anything else."""
    return float(value) if is_number(value) and 0 < value < float("inf") else None


def _of_known_kinds(manifest: Mapping[str, Any], errors: list[str]) -> dict[str, Any]:
    """Return a manifest without the values that are not of the kind that a run writes."""
    untracked = mapping(manifest.get("code")).get("untracked")
    wrong = [name for name, kind in _KINDS.items() if not isinstance(manifest.get(name), kind | None)]
    wrong += ["code"] if not isinstance(untracked, list | None) else []
    errors += [f"{file_names.MANIFEST}: {name} is not what a run writes" for name in dict.fromkeys(wrong)]
    return {name: value for name, value in manifest.items() if name not in wrong}
