"""Coverage of random walks, the baseline of coverage."""

from __future__ import annotations

import numpy as np

from pamiq_exp.component import State
from pamiq_exp.interaction import Environment, RandomActions, StepObserver, Turn
from pamiq_exp.metrics.coverage import CoverageCurve
from pamiq_exp.spaces import describe_action

BLOCK = 256
"""Turns that are counted at once."""


class RandomWalk(StepObserver):
    """Coverage of a random walk in the same world, as long as the run.

    The walk starts when the run is over, in an environment of its own, so the agent never waits for it. Reports
    nothing while the run goes on. The summary has `coverage_NAME` and `coverage_auc_NAME`, computed as those of
    `Coverage`, and, where the run was longer than `max_steps`, `coverage_NAME_steps`, the length of the walk. Nothing
    without a turn, in a real-time world that cannot be copied, or where `pose` or reachable cells are not known.

    Args:
        environment: An instance that no agent uses, with the seed and number of environments of the run.
        name: Goes into the names of the metrics.
        stickiness: Probability of repeating the last action: 0 is uniform, more gives the walk inertia.
        seed: Of the actions.
        max_steps: Most environment steps of the walk, all environments together.
        cell: Side of the cells of the truth's `reachable`, in meters.
    """

    def __init__(
        self,
        environment: Environment,
        name: str = "random",
        stickiness: float = 0.0,
        seed: int = 0,
        max_steps: int = 500_000,
        cell: float = 0.25,
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, not {max_steps}")
        self._environment = environment
        self._name = name
        self._max_steps = max_steps
        self._cell = cell
        self._turns = 0
        self._metrics: dict[str, float] | None = None
        action = describe_action(environment.action_space)
        self._actions = RandomActions(action, environment.num_envs, seed, stickiness)

    def on_step(self, turn: Turn) -> None:
        self._turns += 1

    def summary(self) -> dict[str, float]:
        if self._environment.live or not self._turns:
            return {}
        if self._metrics is None:
            self._metrics = self._measure()
        return self._metrics

    def _measure(self) -> dict[str, float]:
        environment = self._environment
        turns = max(1, min(self._turns, self._max_steps // environment.num_envs))
        environment.stop_rendering()
        environment.setup()
        try:
            metrics = self._walk(turns).metrics(f"_{self._name}")
        finally:
            environment.teardown()
        if metrics and turns < self._turns:
            metrics[f"coverage_{self._name}_steps"] = turns * environment.num_envs
        return metrics

    def _walk(self, turns: int) -> CoverageCurve:
        curve = CoverageCurve(self._cell)
        truth = self._environment.ground_truth()
        if "pose" not in truth or "reachable" not in truth:
            return curve
        curve.begin(truth["reachable"])
        poses = []
        for turn in range(1, turns + 1):
            poses.append(np.array(self._environment.ground_truth()["pose"]))
            if len(poses) == BLOCK or turn == turns:
                curve.add(np.stack(poses))
                poses.clear()
            self._environment.affect(self._actions.draw())
        return curve

    def state(self) -> State:
        return {"turns": self._turns}

    def load_state(self, state: State) -> None:
        self._turns = int(np.asarray(state["turns"]))
