"""Base classes of metrics: the columns that they read are buffered once for all, and counted in blocks of turns.

A metric that counts in each turn pays for a dozen small operations on arrays, whose caches the models have emptied
meanwhile. So the columns of each turn are copied to a block of `TURNS` turns, and whole blocks are counted. Results
do not depend on where a block ends: sums are continued value by value, and a report counts all turns so far.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.interaction import Array, StepObserver, Turn
from pamiq_exp.metrics.statistics import RunningMeans

logger = logging.getLogger(__name__)

NOISE_HEAVY, NOISE_FREE = 0.5, 0.05
"""A view counts as heavy with noise above the first share of noisy pixels, and as free of noise below the second."""


class TruthMetric(StepObserver, ABC):
    """Base class of metrics that read the world's ground truth.

    In an environment whose truth lacks one of the names in `needs` a metric logs that once and reports nothing.

    Attributes:
        title: What it measures, for the log.
        needs: Names of the truth that it reads.
    """

    title: str
    needs: tuple[str, ...]

    def __init__(self) -> None:
        self._has_truth: bool | None = None

    def on_step(self, turn: Turn) -> None:
        if self._has_truth is None:
            missing = [name for name in self.needs if name not in turn.ground_truth]
            self._has_truth = not missing
            if missing:
                logger.info("no %s: the ground truth of this environment has no %s", self.title, " and ".join(missing))
        if self._has_truth:
            self.watch(turn)

    @abstractmethod
    def watch(self, turn: Turn) -> None:
        """Observe one turn whose ground truth has all of `needs`."""


def noise_share(turn: Turn) -> NDArray[np.float64]:
    """Return the share of noisy pixels in each environment's view, `(num_envs,)`."""
    truth = turn.ground_truth
    if "noise_share" in truth:
        return truth["noise_share"]
    masks = truth["noise_mask"]
    pixels = masks[0].size
    return np.array([np.count_nonzero(mask) / pixels for mask in masks], dtype=np.float64)


def intrinsic_reward(turn: Turn) -> NDArray[np.float32]:
    """Return the intrinsic reward of the transition into this view, `(num_envs,)`; zeros if the agent shows none."""
    reward = turn.agent.signals.get("reward")
    return np.zeros(len(turn.observation.reward), dtype=np.float32) if reward is None else reward


def is_rewarded(turn: Turn) -> NDArray[np.bool_]:
    """Return where the intrinsic reward is valid, `(num_envs,)`; nowhere if the agent shows none."""
    signals = turn.agent.signals
    if "reward" not in signals:
        return np.zeros(len(turn.observation.reward), dtype=np.bool_)
    rewarded = signals.get("rewarded")
    return np.ones(len(turn.observation.reward), dtype=np.bool_) if rewarded is None else rewarded


TURNS = 64
"""Turns in a block."""

Rows: TypeAlias = Mapping[str, NDArray[Any]]
"""Columns of successive turns, by name, each `(turns, num_envs, ...)`."""

READERS: Mapping[str, Callable[[Turn], Array]] = {
    "noise_share": noise_share,
    "reward": intrinsic_reward,
    "rewarded": is_rewarded,
    "action": lambda turn: turn.action,
    "extrinsic_reward": lambda turn: turn.observation.reward,
    "ended": lambda turn: turn.observation.ended,
}
"""Columns that are read from elsewhere than the ground truth."""


class TurnBlock:
    """The columns of up to `TURNS` turns."""

    def __init__(self, columns: Rows | None = None) -> None:
        self.turns = 0
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty_like(column) for name, column in (columns or {}).items()
        }

    def next_block(self) -> TurnBlock:
        """Return an empty block with the same columns."""
        return TurnBlock(self._columns)

    def add_columns(self, names: tuple[str, ...], turn: Turn) -> None:
        """Store these columns too, from the newest turn on."""
        for name in names:
            if name not in self._columns:
                value = np.asarray(read(name, turn))
                self._columns[name] = np.empty((TURNS, *value.shape), value.dtype)
                self._columns[name][self.turns - 1] = value

    def add(self, turn: Turn) -> None:
        """Store another turn."""
        changed: dict[str, NDArray[Any]] = {}
        for name, column in self._columns.items():
            value = read(name, turn)
            if value.dtype != column.dtype:  # numbers that began as integers
                column = column.astype(np.result_type(column, value))
                changed[name] = column
            column[self.turns] = value
        self._columns |= changed
        self.turns += 1

    def rows(self, names: tuple[str, ...], first: int) -> Rows:
        """Return some columns of the turns from `first` on."""
        return {name: self._columns[name][first : self.turns] for name in names}


def read(name: str, turn: Turn) -> Array:
    """Return one column of a turn, `(num_envs, ...)`."""
    reader = READERS.get(name)
    return turn.ground_truth[name] if reader is None else reader(turn)


class TurnBuffer:
    """The newest block of turns of an interaction, shared by all its metrics."""

    def __init__(self) -> None:
        self._block = TurnBlock()
        self._turn: Turn | None = None

    def add(self, turn: Turn) -> TurnBlock:
        """Store a turn, unless it is stored already, and return its block."""
        if turn is not self._turn:
            self._turn = turn
            if self._block.turns == TURNS:
                self._block = self._block.next_block()
            self._block.add(turn)
        return self._block


class BufferedMetric(TruthMetric):
    """Base class of metrics that count a block of turns at a time.

    Attributes:
        columns: What they read: names of the truth, or of `READERS`.
    """

    columns: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._block: TurnBlock | None = None
        self._counted = 0

    def watch(self, turn: Turn) -> None:
        buffer = turn.shared.get("turn_buffer")
        if buffer is None:
            buffer = turn.shared["turn_buffer"] = TurnBuffer()
        block = buffer.add(turn)
        if block is not self._block:
            self._catch_up()
            if self._block is None:
                self.begin(turn)
            block.add_columns(self.columns, turn)
            self._block, self._counted = block, block.turns - 1

    def _catch_up(self) -> None:
        block = self._block
        if block is not None and self._counted < block.turns:
            rows = block.rows(self.columns, self._counted)
            self._counted = block.turns
            self.count(rows)

    def begin(self, turn: Turn) -> None:
        """Read from the first turn, before it is counted, what never changes."""

    @abstractmethod
    def count(self, rows: Rows) -> None:
        """Count some turns by their `columns`."""

    @abstractmethod
    def metrics(self) -> dict[str, float]:
        """Return the metrics of a record, of all turns counted so far; see `StepObserver.report`."""

    def final_metrics(self) -> dict[str, float]:
        """Return the metrics of the summary; by default those of a record."""
        return self.metrics()

    def counted_state(self) -> State:
        """Return the state of all that was counted, for `load_state`."""
        return {}

    def report(self) -> dict[str, float]:
        self._catch_up()
        return self.metrics()

    def summary(self) -> dict[str, float]:
        self._catch_up()
        return self.final_metrics()

    def state(self) -> State:
        self._catch_up()
        return self.counted_state()


class MeansMetric(BufferedMetric):
    """Base class of metrics that are means: in a record since the last one, in the summary over the whole run."""

    def __init__(self) -> None:
        super().__init__()
        self.means = RunningMeans()

    def metrics(self) -> dict[str, float]:
        return self.means.take()

    def final_metrics(self) -> dict[str, float]:
        return self.means.means()
