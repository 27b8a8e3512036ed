"""Reading what `RunRecorder` wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Component, State
from pamiq_exp.files import parse_json, read_text
from pamiq_exp.interaction.environment import Array
from pamiq_exp.recording.run_recorder import VERSION
from pamiq_exp.spaces import ActionSpec, ArraySpec

_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Stretch:
    """Turns that follow each other.

    Attributes:
        first_step: Environment step of the first of them.
        turns: How many.
        fields: What is not in videos, by name: `action`, `reward`, `terminated`, `truncated`, `observation.*`;
            each `(turns, num_envs, *shape)`.
        videos: Files of the pictures among the observations, by the observation's name.
    """

    first_step: int
    turns: int
    fields: Mapping[str, NDArray[Any]]
    videos: Mapping[str, Path]


@dataclass(frozen=True)
class RunRecording:
    """A whole recording.

    Attributes:
        observation, action, num_envs: The spaces of the environment that was recorded.
        stretches: In their order.
        complete: For each stretch whether the next one follows without a gap.
    """

    observation: Mapping[str, ArraySpec]
    action: ActionSpec
    num_envs: int
    stretches: tuple[Stretch, ...]
    complete: tuple[bool, ...]


def read_recording(path: Path | str, name: str = "recording") -> RunRecording:
    """Read a recording; pictures stay in their files.

    A run that was resumed from an old checkpoint may have recorded some turns twice: the later ones hold.

    Args:
        path: A run folder, or the folder that the files lie in.
        name: What the recording is called.

    Raises:
        ValueError: There is none, or it was written by another version; the message says what to do.
    """
    folder = Path(path)
    folder = folder / "recordings" if (folder / "recordings").is_dir() else folder
    pattern = re.compile(rf"{re.escape(name)}_(\d+)\.jsonl")
    files = sorted(file for file in folder.glob(f"{name}_*.jsonl") if pattern.fullmatch(file.name))
    if not files:
        raise ValueError(
            f"there is no recording '{name}' in {folder}. Record one with tracking=recording, and give its run folder"
        )
    headers, tables = zip(*(_read(file) for file in files), strict=True)
    header = headers[0]
    if header.get("recording") != VERSION:
        raise ValueError(f"{files[0]} was written in form {header.get('recording')}; this program reads form {VERSION}")
    num_envs = int(header["num_envs"])
    starts = [int(rows[0]["step"]) for rows in tables]
    stretches, complete = [], []
    for number, (file, rows) in enumerate(zip(files, tables, strict=True)):
        following = starts[number + 1] if number + 1 < len(starts) else None
        kept = [row for row in rows if following is None or row["step"] < following]
        stretches.append(_stretch(file, kept, header))
        complete.append(following == starts[number] + len(kept) * num_envs)
    return RunRecording(header["observation"], header["action"], num_envs, tuple(stretches), tuple(complete))


def _read(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        first, *lines = read_text(file, most=_MOST_BYTES).splitlines() or [""]
    except OSError as error:
        raise ValueError(str(error)) from error
    if not lines:
        raise ValueError(f"{file} holds no turns; delete it")
    header, *rows = map(parse_json, [first, *lines])
    if not isinstance(header, dict) or not all(
        isinstance(row, dict) and isinstance(row.get("step"), int) for row in rows
    ):
        raise ValueError(f"{file} is no recording; delete it")
    return header, cast("list[dict[str, Any]]", rows)


def _stretch(file: Path, rows: list[dict[str, Any]], header: Mapping[str, Any]) -> Stretch:
    types = {f"observation.{name}": spec["dtype"] for name, spec in header["observation"].items()} | {
        "action": header["action"]["dtype"],
        "reward": "float32",
        "terminated": "bool",
        "truncated": "bool",
    }
    videos = {name: file.with_name(f"{file.stem}_{_video_name(name)}.mp4") for name in header["pictures"]}
    missing = [video.name for video in videos.values() if not video.is_file() or video.is_symlink()]
    if missing:
        raise ValueError(f"{', '.join(missing)} is missing beside {file}")
    fields = {name: np.array([row[name] for row in rows], dtype) for name, dtype in types.items() if name in rows[0]}
    return Stretch(int(rows[0]["step"]), len(rows), fields, videos)


def _video_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", f"observation.{name}")


class RecordedActions(Component):
    """The actions of a recording one after the other, and again from the first.

    Args:
        path: A run folder with a recording.
        name: What the recording is called.
    """

    def __init__(self, path: Path | str, name: str = "recording") -> None:
        recording = read_recording(path, name)
        self._actions: Array = np.concatenate([stretch.fields["action"] for stretch in recording.stretches])
        self._next = 0

    def draw(self) -> Array:
        """Return the next actions, `(num_envs, ...)`."""
        action: Array = self._actions[self._next].copy()
        self._next = (self._next + 1) % len(self._actions)
        return action

    def state(self) -> State:
        """Which is next."""
        return {"next": self._next}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        self._next = int(state["next"])
