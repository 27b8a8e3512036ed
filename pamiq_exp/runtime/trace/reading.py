"""Reading a trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.interaction import Observation
from pamiq_exp.runtime.trace.blocks import Arrays, TraceError, read_blocks
from pamiq_exp.runtime.trace.recording import START, TRAINING, TURNS, VERSION
from pamiq_exp.runtime.trace.training import Event
from pamiq_exp.runtime.trace.truth import ReadTruth, truths_of

_EVENTS: Mapping[str, tuple[Any, ...]] = {
    "fetch": (int, dict),
    "round": (str, str, dict | None),
    "publish": (int, int, list, str, str),
    "end": (int | None, dict),
}
"""Kinds of events, and what follows in each."""


@dataclass(frozen=True)
class RecordedTurn:
    """One turn as it was.

    Attributes:
        version: The publication that it used.
        observation: What the agent saw.
        action: What it did; None if it failed.
        truth: What was read of the ground truth, if anyone asked for it.
        report: The environment's own metrics, if they were recorded then.
    """

    version: int
    observation: Observation
    action: NDArray[Any] | None
    truth: ReadTruth | None
    report: Mapping[str, float]


class RecordedTrace:
    """A trace on the disk: one start of a run.

    Args:
        folder: `trace/STEP` in a run folder.

    Attributes:
        header: What was known when it began: `seed`, `steps`, `turns`, `spaces`, `sources`.
        checkpoint: What the run went on from; None from the beginning.

    Raises:
        TraceError: There is none, it is damaged, or it was written by another version.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.header = self._header(TURNS)
        if not isinstance(self.header.get("spaces"), dict):
            raise TraceError(f"{folder} is damaged: it describes no spaces")
        if any(self.header.get(name) != value for name, value in self._header(TRAINING).items()):
            raise TraceError(f"{folder} is damaged: its two files begin differently")
        self.checkpoint = folder / START if self.header.get("checkpoint") is True else None

    @property
    def steps(self) -> int:
        """The environment step at which it begins."""
        return int(self.header["steps"])

    @property
    def turns_before(self) -> int:
        """The turn at which it begins."""
        return int(self.header["turns"])

    def turns(self) -> Iterator[RecordedTurn]:
        """Yield the turns in their order. Raises TraceError where they are damaged."""
        blocks = self._blocks(TURNS)
        waiting: list[RecordedTurn] = []
        for block in blocks:
            if isinstance(block, dict):
                yield from waiting
                waiting = self._decoded(block)
            elif isinstance(block, list):
                waiting = self._with_reports(waiting, block)
        yield from waiting

    def events(self) -> Iterator[Event]:
        """Yield what happened where training was, in its order. Raises TraceError where it is damaged."""
        for block in self._blocks(TRAINING):
            for event in block if isinstance(block, list) else ():
                if not _is_event(event):
                    raise TraceError(f"{self._folder / TRAINING} is damaged: {str(event)[:80]} is no event")
                yield event

    def _blocks(self, name: str) -> Iterator[object]:
        blocks = read_blocks(self._folder / name, self._folder.parent)
        next(blocks, None)
        return blocks

    def _header(self, name: str) -> dict[str, Any]:
        path = self._folder / name
        header = next(read_blocks(path, self._folder.parent), None)
        if not isinstance(header, dict) or "trace" not in header:
            raise TraceError(f"{path} is empty: the run ended before its first turn")
        if header["trace"] != VERSION:
            raise TraceError(
                f"{path} has the form {header['trace']}, and this version of pamiq_exp reads form {VERSION}: replay it "
                "with the version that wrote it (manifest.json names it)"
            )
        numbers = [header.get(name) for name in ("seed", "steps", "turns")]
        if not all(isinstance(number, int) for number in numbers):
            raise TraceError(f"{path} is damaged: its first block lacks seed, steps or turns")
        return header

    def _decoded(self, columns: Arrays) -> list[RecordedTurn]:
        try:
            names = [name for name in columns if name.startswith("observation.")]
            versions = columns["version"]
            count = len(versions)
            truths = truths_of(columns, count)
            if not names or any(len(columns[name]) != count for name in (*names, "reward", "terminated", "truncated")):
                raise TraceError(f"{self._folder / TURNS} is damaged: a block has turns without observations")
            actions = columns.get("action")
            return [
                RecordedTurn(
                    int(versions[index]),
                    Observation(
                        {name.partition(".")[2]: np.array(columns[name][index]) for name in names},
                        np.array(columns["reward"][index]),
                        np.array(columns["terminated"][index]),
                        np.array(columns["truncated"][index]),
                    ),
                    None if actions is None else actions[index],
                    truths[index],
                    {},
                )
                for index in range(count)
            ]
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise TraceError(f"{self._folder / TURNS} is damaged: {type(error).__name__}: {error}") from error

    def _with_reports(self, turns: list[RecordedTurn], reports: list[Any]) -> list[RecordedTurn]:
        try:
            found = {
                int(index): {str(name): float(value) for name, value in report.items()} for index, report in reports
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise TraceError(f"{self._folder / TURNS} is damaged: {error}") from error
        return [
            RecordedTurn(turn.version, turn.observation, turn.action, turn.truth, found.get(index, {}))
            for index, turn in enumerate(turns)
        ]


def find_traces(run_folder: Path) -> list[Path]:
    """Return the traces of a run, one for each of its starts, oldest first."""
    from pamiq_exp.run_folder import file_names

    above = run_folder / file_names.TRACE
    return sorted(path for path in above.glob("[0-9]*") if path.is_dir()) if above.is_dir() else []


def _is_event(event: object) -> bool:
    if not isinstance(event, list) or not event or not isinstance(event[0], str):
        return False
    kinds = _EVENTS.get(event[0], ())
    if len(event) != len(kinds) + 1 or not all(map(isinstance, event[1:], kinds)):
        return False
    moved = event[2].values() if event[0] == "fetch" else ()
    return all(
        isinstance(chunks, list)
        and all(isinstance(chunk, list) and list(map(type, chunk)) == [int, int] for chunk in chunks)
        for chunks in moved
    )
