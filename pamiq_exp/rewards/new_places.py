"""New places, by the agent's own sense of where it has gone."""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.component import State
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import Transition

Cell = tuple[int, ...]


class NewPlaces(Reward):
    """r = 1 where o_{t+1} is in a cell that this environment has not been in for `window` turns, else 0.

    Cells divide an observation of the agent's own position, which it has from its own steps: no oracle, and nothing is
    read from pictures, so noise has no effect. What was visited is forgotten after `window` turns and at the end of an
    episode, so the reward does not run out: it pays for going on, not for going back.

    Sources: Chen et al. 2019, Learning exploration policies for navigation, section 3.3 (coverage by odometry as
    reward); Raileanu and Rocktäschel 2020, RIDE, section 3 (counts of one episode).

    Args:
        num_envs: Number of reward streams.
        normalizer: How the raw reward is scaled.
        field: The observation of the position, `(numbers)` in meters.
        cell: Side of a cell in meters.
        window: Turns without a visit after which a cell is new again.

    Raises:
        ValueError: For a cell that is not positive or a window below 1.
    """

    name = "new_places"

    def __init__(
        self,
        num_envs: int,
        normalizer: Normalizer | None = None,
        field: str = "odometry",
        cell: float = 0.5,
        window: int = 400,
    ) -> None:
        super().__init__(normalizer)
        if not cell > 0 or window < 1:
            raise ValueError(f"cell must be positive and window at least 1, not {cell} and {window}")
        self.field, self.cell, self.window = field, float(cell), int(window)
        self._visits: list[dict[Cell, int]] = [{} for _ in range(num_envs)]
        """For each environment, the turn of the last visit to the cells of the last turns, the oldest first."""
        self._turn = 0

    def compute(self, transition: Transition) -> NDArray[np.float32]:
        """See the base class. Raises KeyError without the observation."""
        new = np.zeros(len(transition.valid), dtype=np.float32)
        before, now = (self._cells(transition, after) for after in (False, True))
        for env, visits in enumerate(self._visits):
            if not transition.valid[env]:
                visits.clear()
            elif not visits:
                visits[before[env]] = self._turn - 1
            while visits and self._turn - next(iter(visits.values())) > self.window:
                del visits[next(iter(visits))]
            new[env] = visits.pop(now[env], None) is None
            visits[now[env]] = self._turn
        self._turn += 1
        return new

    def state(self) -> State:
        """The visits of all environments, one after another, and the turn."""
        return {
            "counts": np.array([len(visits) for visits in self._visits], dtype=np.int64),
            "cells": np.array([cell for visits in self._visits for cell in visits], dtype=np.int64),
            "turns": np.array([turn for visits in self._visits for turn in visits.values()], dtype=np.int64),
            "turn": self._turn,
        }

    def load_state(self, state: State) -> None:
        """Restore the visits."""
        visits = zip(np.asarray(state["cells"]).tolist(), np.asarray(state["turns"]).tolist(), strict=True)
        self._visits = [
            {tuple(cell): turn for cell, turn in islice(visits, count)}
            for count in np.asarray(state["counts"]).tolist()
        ]
        self._turn = int(state["turn"])

    def _cells(self, transition: Transition, after: bool) -> list[Cell]:
        """The cell of each environment, at o_{t+1} or o_t."""
        values = transition.observation if after else transition.previous_observation
        name = f"observation.{self.field}"
        if name not in values:
            raise KeyError(
                f"new_places needs the observation '{self.field}' of the agent's own position, but there are only "
                f"{', '.join(sorted(values))}: choose environment=noise_world environment.odometry=true"
            )
        positions = np.floor(values[name].double().cpu().numpy() / self.cell)
        return [tuple(cell) for cell in np.nan_to_num(positions).astype(np.int64).tolist()]
