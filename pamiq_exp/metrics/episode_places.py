"""How many places an agent visits within an episode."""

from __future__ import annotations

from collections import deque

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.metrics.buffered import BufferedMetric, Rows


class EpisodePlaces(BufferedMetric):
    """Mean number of different places that the agent visited in the newest episodes.

    For worlds that are made anew in each episode, where `Coverage` over the whole run means nothing. Works where the
    ground truth has `position`, `(num_envs, n)`, as in MiniGrid (cells) and MiniWorld (meters). Reports
    `places_per_episode`; nothing until an episode has ended.

    Args:
        cell: Side of a place, in the unit of the position.
        window: How many of the newest episodes the mean covers.
    """

    title, needs = "places of an episode", ("position",)
    columns = ("position", "ended")

    def __init__(self, cell: float = 1.0, window: int = 100) -> None:
        super().__init__()
        if not cell > 0:
            raise ValueError(f"cell must be positive, not {cell!r}")
        if window < 1:
            raise ValueError(f"window must be at least 1 episode, not {window}")
        self._cell = cell
        self._counts: deque[int] = deque(maxlen=window)
        self._visited: list[set[tuple[int, ...]]] = []

    def count(self, rows: Rows) -> None:
        places = np.floor(np.asarray(rows["position"], np.float64) / self._cell).astype(np.int64)
        if not self._visited:
            self._visited = [set() for _ in range(places.shape[1])]
        begin = 0
        for end in [*np.flatnonzero(rows["ended"].any(axis=1)).tolist(), len(places) - 1]:
            for env, visited in enumerate(self._visited):
                visited.update(map(tuple, places[begin : end + 1, env].tolist()))
                if rows["ended"][end, env] and begin <= end:
                    self._counts.append(len(visited))
                    visited.clear()
            begin = end + 1

    def metrics(self) -> dict[str, float]:
        return {"places_per_episode": sum(self._counts) / len(self._counts)} if self._counts else {}

    def counted_state(self) -> State:
        if not self._visited:
            return {}
        rows = [(env, *place) for env, visited in enumerate(self._visited) for place in sorted(visited)]
        return {
            "counts": np.array(self._counts, dtype=np.int64),
            "environments": len(self._visited),
            "visited": np.array(rows, dtype=np.int64),
        }

    def load_state(self, state: State) -> None:
        self._counts.clear()
        self._counts.extend(np.asarray(state["counts"]).tolist())
        self._visited = [set() for _ in range(int(np.asarray(state["environments"])))]
        for env, *place in np.asarray(state["visited"]).tolist():
            self._visited[env].add(tuple(place))
