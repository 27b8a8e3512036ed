"""Recording a trace while a run goes on."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import Transparent
from pamiq_exp.files import make_own_folder
from pamiq_exp.interaction import Environment, Observation
from pamiq_exp.run_folder import RunFolder, file_names
from pamiq_exp.run_folder.manifest import source_digests
from pamiq_exp.runtime.trace.blocks import Arrays, BlockFile
from pamiq_exp.runtime.trace.digests import digest_of_agent
from pamiq_exp.runtime.trace.training import Event, TrainingTrace
from pamiq_exp.runtime.trace.truth import NotedTruth, ReadTruth, truth_columns
from pamiq_exp.spaces import describe_spaces
from pamiq_exp.tracking.queue_thread import QueueThread

if TYPE_CHECKING:
    from pamiq_exp.runtime.engine import Engine

logger = logging.getLogger(__name__)

VERSION = 3
TURNS, TRAINING, START = "turns", "training", "start"
"""Names in the folder of a trace: two files, and the checkpoint that a resumed run went on from."""

BLOCK_TURNS = 256
BLOCK_BYTES = 1 << 20
BLOCK_EVENTS = 256
PATIENCE_TICKS = 20
"""Looks into the queue, half a second apart, after which a block is written though it is not full."""
MOST_WAITING = 20_000
"""Turns or events that wait to be written. Beyond that the disk does not keep up, and the trace ends."""


class Trace(TrainingTrace):
    """Records a run so that it can be replayed to the same bits.

    The agent's side writes `turns`: what came through the environment's interface in each turn, the action, and the
    publication that was used. What happens where training is goes to `training`, see `TrainingTrace`.

    Nothing here waits for the disk: blocks are compressed and written by threads of their own. If that fails, the trace
    ends, which is logged and reported by `on_failure`, and the run goes on.

    Args:
        engine: What is recorded. Its interaction has to go through `environment`.
        run_folder: Where the trace is kept, in a folder named after the environment step at which it begins.

    Attributes:
        environment: Takes the place of the environment of the run.
        error: What ended the trace early.
    """

    def __init__(self, engine: Engine, run_folder: RunFolder) -> None:
        super().__init__(self.happened)
        self._engine = engine
        self._run_folder = run_folder
        self.environment = TracedEnvironment(engine.interaction.environment)
        self.error: BaseException | None = None
        self._turns = _Writer("trace", self._fail)
        self._training = _Writer("trace-training", self._fail)

    def start(self, seed: int, checkpoint: Path | None) -> None:
        """See `NoTrace`.

        Raises:
            OSError: The folder cannot be written.
        """
        statistics, environment = self._engine.statistics, self.environment
        self._run_folder.hold()
        above = self._run_folder.path / file_names.TRACE
        make_own_folder(above)
        folder = above / f"{statistics.steps:09d}"
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that ended before its first checkpoint
        folder.mkdir()
        if checkpoint is not None:
            shutil.copytree(checkpoint, folder / START, copy_function=_link_or_copy)
        spaces = describe_spaces(environment.observation_space, environment.action_space, environment.num_envs)
        header = {
            "trace": VERSION,
            "seed": seed,
            "steps": statistics.steps,
            "turns": statistics.turns,
            "checkpoint": checkpoint is not None,
        }
        sources = source_digests(Path(__file__).parents[2])
        self._turns.start(folder / TURNS, {**header, "spaces": dict(spaces), "sources": sources})
        self._training.start(folder / TRAINING, header)
        for reason in unrepeatable(self._engine):
            logger.warning("this run may not be replayed to the same bits: %s", reason)

    def turn(self, version: int) -> None:
        """See `NoTrace`."""
        entry, self.environment.entry = self.environment.entry, None
        if entry is not None:
            if entry.truth is not None:
                entry.truth.closed = True
            self._turns.put((version, entry))

    def happened(self, event: Event) -> None:
        """See `NoTrace`."""
        if event[0] == "end":
            event[2]["agent"] = digest_of_agent(self._engine)
        self._training.put(event)

    def close(self) -> None:
        """See `NoTrace`."""
        for writer in (self._turns, self._training):
            writer.close()

    @property
    def bytes_written(self) -> int:
        """Size of the files so far."""
        return self._turns.bytes_written + self._training.bytes_written

    def _fail(self, error: BaseException) -> None:
        """End both files: a replay needs both."""
        if self.error is None:
            self.error = error
            logger.error("the trace ends here: %s. The run goes on; a replay reaches up to this moment.", error)
            self._run_folder.failed_writes += 1
        self._turns.failed = self._training.failed = True


class TurnEntry:
    """What came through the environment's interface in one turn.

    Attributes:
        observation: What the agent saw.
        truth: What was read of the ground truth, if anyone asked for it.
        action: What was done; None if the turn failed before.
        report: The environment's own metrics, if they were recorded after this turn.
    """

    __slots__ = ("action", "observation", "report", "truth")

    def __init__(self, observation: Observation) -> None:
        self.observation = observation
        self.truth: ReadTruth | None = None
        self.action: NDArray[Any] | None = None
        self.report: dict[str, float] | None = None


class TracedEnvironment(Transparent, Environment):
    """Notes all that a run gets from its environment.

    Args:
        environment: The environment, whose place this one takes.
    """

    wrapped: Environment

    def __init__(self, environment: Environment) -> None:
        self.wrapped = environment
        self.entry: TurnEntry | None = None
        """The newest turn, until it is written."""
        self.num_envs, self.live, self.private = environment.num_envs, environment.live, environment.private
        self.free_running, self.noop_action = environment.free_running, environment.noop_action
        self.own_interval, self.has_episodes = environment.own_interval, environment.has_episodes
        self.observation_space, self.action_space = environment.observation_space, environment.action_space
        self.name = getattr(environment, "name", type(environment).__name__)

    def observe(self) -> Observation:
        """See `Environment`."""
        observation = self.wrapped.observe()
        self.observed_at = self.wrapped.observed_at
        self.entry = TurnEntry(observation)
        return observation

    def affect(self, action: NDArray[Any]) -> None:
        """See `Environment`."""
        if self.entry is not None:
            self.entry.action = np.array(action)
        self.wrapped.affect(action)
        self.age = self.wrapped.age

    def ground_truth(self) -> Mapping[str, NDArray[Any]]:
        """See `Environment`."""
        truth = self.wrapped.ground_truth()
        if self.entry is None:
            return truth
        if self.entry.truth is None:
            self.entry.truth = ReadTruth(list(truth))
        return NotedTruth(truth, self.entry.truth)

    def report(self) -> dict[str, float]:
        """See `Environment`."""
        report = self.wrapped.report()
        if self.entry is not None and report:
            self.entry.report = report
        return report

    def summary(self) -> dict[str, float]:
        """See `Environment`."""
        return self.wrapped.summary()

    def notes(self) -> list[str]:
        """See `Environment`."""
        return self.wrapped.notes()

    def place(self, poses: NDArray[Any]) -> bool:
        """See `Environment`."""
        return self.wrapped.place(poses)

    def keyboard(self) -> Mapping[str, Sequence[tuple[int, int]]]:
        """See `Environment`."""
        return self.wrapped.keyboard()


class _Writer:
    """One file of a trace, and the thread that writes it."""

    def __init__(self, name: str, fail: Callable[[BaseException], None]) -> None:
        self.failed = False
        self._fail = fail
        self._file: BlockFile | None = None
        self._entries: list[tuple[int, TurnEntry]] = []
        self._events: list[Event] = []
        self._shapes: dict[str, object] = {}
        self._bytes = 0
        self._ticks = 0
        self._thread: QueueThread[tuple[int, TurnEntry] | Event] = QueueThread(name, self._take, self._tick)

    @property
    def bytes_written(self) -> int:
        return self._file.bytes_written if self._file is not None else 0

    def start(self, path: Path, header: Mapping[str, Any]) -> None:
        self._file = BlockFile(path)
        self._file.write_json(header)
        self._thread.start()

    def put(self, item: tuple[int, TurnEntry] | Event) -> None:
        if not self.failed:
            self._thread.put(item)
            if self._thread.depth > MOST_WAITING:
                self._fail(OSError(f"{MOST_WAITING} turns wait to be written: the disk does not keep up"))

    def close(self) -> None:
        self._thread.stop()
        if self._file is not None:
            self._guarded(self._flush)
            self._file.close()

    def _take(self, item: tuple[int, TurnEntry] | Event) -> None:
        if isinstance(item, list):
            self._events.append(item)
        else:
            if not self._fits(item[1]):
                self._guarded(self._flush)
            self._entries.append(item)
            self._shapes |= _shapes(item[1])
            self._bytes += sum(value.nbytes for value in item[1].observation.values.values())
        if len(self._events) >= BLOCK_EVENTS or len(self._entries) >= BLOCK_TURNS or self._bytes >= BLOCK_BYTES:
            self._guarded(self._flush)

    def _fits(self, entry: TurnEntry) -> bool:
        """Whether a turn fits into columns with those that wait."""
        if self._entries and (entry.action is None) != (self._entries[-1][1].action is None):
            return False
        return all(self._shapes.get(name, shape) == shape for name, shape in _shapes(entry).items())

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks >= PATIENCE_TICKS:
            self._guarded(self._flush)

    def _guarded(self, action: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            action()
        except Exception as error:
            self._fail(error)

    def _flush(self) -> None:
        events, self._events = self._events, []
        entries, self._entries = self._entries, []
        self._shapes = {}
        self._bytes = self._ticks = 0
        assert self._file is not None
        if events:
            self._file.write_json(events)
        if entries:
            self._file.write_arrays(_columns(entries))
            reports = [[index, entry.report] for index, (_, entry) in enumerate(entries) if entry.report]
            if reports:
                self._file.write_json(reports)


def _shapes(entry: TurnEntry) -> dict[str, object]:
    """Names of the ground truth, if anything asked for it, with shape and type of each part that was read."""
    if entry.truth is None:
        return {}
    values = entry.truth.values.items()
    return {"": entry.truth.names} | {name: (value.shape, value.dtype) for name, value in values}


def _columns(entries: Sequence[tuple[int, TurnEntry]]) -> Arrays:
    """Stack turns."""
    turns = [entry for _, entry in entries]
    first = turns[0]
    columns: Arrays = {
        "version": np.array([version for version, _ in entries], np.int64),
        "reward": np.stack([turn.observation.reward for turn in turns]),
        "terminated": np.stack([turn.observation.terminated for turn in turns]),
        "truncated": np.stack([turn.observation.truncated for turn in turns]),
    }
    for name in first.observation.values:
        columns[f"observation.{name}"] = np.stack([turn.observation.values[name] for turn in turns])
    if first.action is not None:
        columns["action"] = np.stack([turn.action for turn in turns if turn.action is not None])
    return columns | truth_columns([turn.truth for turn in turns])


def unrepeatable(engine: Engine) -> Iterator[str]:
    """Yield why a replay may not come to the same bits, as far as that shows before a run."""
    if engine.device.type != "cpu":
        yield f"it computes on {engine.device}, where sums may be added up in another order each time"


def _link_or_copy(source: str, target: str) -> None:
    """A checkpoint never changes: a second name for its files costs nothing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
