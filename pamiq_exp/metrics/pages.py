"""Noting what happens in each turn once for all metrics, and counting many turns in one go.

A metric that counts in each turn pays for a dozen small operations on arrays, whose caches the models have emptied
meanwhile. So what metrics need of a turn is copied to a page of `TURNS` turns, and whole pages are counted. Counts
do not depend on where a page ends: sums go on one by one, and whoever asks sees all turns up to now.
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

logger = logging.getLogger(__name__)

NOISE_HEAVY, NOISE_FREE = 0.5, 0.05
"""A view is heavy with noise if more than this share of its pixels is, and free of it if less than that one."""


class TruthMetric(StepObserver, ABC):
    """Base class of metrics that read the world's ground truth.

    In an environment whose truth lacks one of the names in `needs` a metric says so once in the log, and
    reports nothing.
    """

    title: str
    needs: tuple[str, ...]

    def __init__(self) -> None:
        self._sees: bool | None = None

    def on_step(self, turn: Turn) -> None:
        if self._sees is None:
            missing = [name for name in self.needs if name not in turn.ground_truth]
            self._sees = not missing
            if missing:
                logger.info("no %s: this environment does not tell %s", self.title, " and ".join(missing))
        if self._sees:
            self.watch(turn)

    @abstractmethod
    def watch(self, turn: Turn) -> None:
        """Watch one turn of a world that tells all that is needed."""


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
    """Return in which environments the intrinsic reward means something, `(num_envs,)`; nowhere if the agent shows
    none."""
    signals = turn.agent.signals
    if "reward" not in signals:
        return np.zeros(len(turn.observation.reward), dtype=np.bool_)
    rewarded = signals.get("rewarded")
    return np.ones(len(turn.observation.reward), dtype=np.bool_) if rewarded is None else rewarded


TURNS = 64
"""Turns on a page."""

Rows: TypeAlias = Mapping[str, NDArray[Any]]
"""What was noted of some turns, one after the other: each `(turns, num_envs, ...)`."""

READERS: Mapping[str, Callable[[Turn], Array]] = {
    "noise_share": noise_share,
    "reward": intrinsic_reward,
    "rewarded": is_rewarded,
    "action": lambda turn: turn.action,
    "extrinsic_reward": lambda turn: turn.observation.reward,
    "ended": lambda turn: turn.observation.ended,
}
"""How columns are read that are not part of the world's truth, or not under that name."""


class TurnBuffer:
    """What was noted of up to `TURNS` turns."""

    def __init__(self, columns: Rows | None = None) -> None:
        self.turns = 0
        self._columns: dict[str, NDArray[Any]] = {
            name: np.empty_like(column) for name, column in (columns or {}).items()
        }

    def following(self) -> TurnBuffer:
        """Return an empty page with the same columns."""
        return TurnBuffer(self._columns)

    def want(self, names: tuple[str, ...], turn: Turn) -> None:
        """Note these columns too, beginning with the newest turn."""
        for name in names:
            if name not in self._columns:
                value = np.asarray(read(name, turn))
                self._columns[name] = np.empty((TURNS, *value.shape), value.dtype)
                self._columns[name][self.turns - 1] = value

    def add(self, turn: Turn) -> None:
        """Note another turn."""
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


class TurnBuffers:
    """The newest page of an interaction, which all its metrics share."""

    def __init__(self) -> None:
        self._page = TurnBuffer()
        self._turn: Turn | None = None

    def note(self, turn: Turn) -> TurnBuffer:
        """Note a turn, unless it has been noted, and return the page that it is on."""
        if turn is not self._turn:
            self._turn = turn
            if self._page.turns == TURNS:
                self._page = self._page.following()
            self._page.add(turn)
        return self._page


class BufferedMetric(TruthMetric):
    """Base class of metrics that count a page of turns at a time.

    Attributes:
        columns: What they read: names of the truth, or of `READERS`.
    """

    columns: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._page: TurnBuffer | None = None
        self._counted = 0

    def watch(self, turn: Turn) -> None:
        notebook = turn.shared.get("notebook")
        if notebook is None:
            notebook = turn.shared.setdefault("notebook", TurnBuffers())
        page = notebook.note(turn)
        if page is not self._page:
            self._catch_up()
            if self._page is None:
                self.begin(turn)
            page.want(self.columns, turn)
            self._page, self._counted = page, page.turns - 1

    def _catch_up(self) -> None:
        page = self._page
        if page is not None and self._counted < page.turns:
            rows = page.rows(self.columns, self._counted)
            self._counted = page.turns
            self.count(rows)

    def begin(self, turn: Turn) -> None:
        """Look at the first turn, before it is counted: at what never changes, and what there is to read."""

    @abstractmethod
    def count(self, rows: Rows) -> None:
        """Count some turns, in which `columns` were noted."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Return figures for the records, of all that was counted; see `StepObserver.report`."""

    def final_figures(self) -> dict[str, float]:
        """Return figures for the summary; by default those of the records."""
        return self.figures()

    def counted(self) -> State:
        """Return the state of all that was counted, for `load_state`."""
        return {}

    def report(self) -> dict[str, float]:
        self._catch_up()
        return self.figures()

    def summary(self) -> dict[str, float]:
        self._catch_up()
        return self.final_figures()

    def state(self) -> State:
        self._catch_up()
        return self.counted()
