"""Exploration by uniformly random actions: at the start of a run, and epsilon-greedy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.component import State
from pamiq_exp.interaction import Array, RandomActions
from pamiq_exp.spaces import ActionSpec


class Exploration(RandomActions):
    """Replaces actions of a policy by uniformly random ones, each with the probability epsilon.

    Epsilon is 1 for the first `random_steps` environment steps. Otherwise it falls linearly over the first
    `decay_steps` environment steps of the run, from `epsilon_start` to `epsilon_end`, and stays there.

    Args:
        action: The action space.
        num_envs: Actions in one turn.
        seed: Of its own generator.
        random_steps: Environment steps that are random throughout.
        epsilon_start: Epsilon at the start of the run.
        epsilon_end: Epsilon after `decay_steps`.
        decay_steps: See above.

    Raises:
        ValueError: For an epsilon outside 0 to 1.

    Source: Mnih et al. 2015, Human-level control through deep reinforcement learning, algorithm 1.
    """

    def __init__(
        self,
        action: ActionSpec,
        num_envs: int,
        seed: int,
        random_steps: int = 0,
        epsilon_start: float = 0.0,
        epsilon_end: float = 0.0,
        decay_steps: int = 1,
    ) -> None:
        super().__init__(action, num_envs, seed)
        if not (0 <= epsilon_start <= 1 and 0 <= epsilon_end <= 1):
            raise ValueError(f"epsilon must be between 0 and 1, not {epsilon_start} and {epsilon_end}")
        self.random_steps = int(random_steps)
        self.epsilon_start, self.epsilon_end = float(epsilon_start), float(epsilon_end)
        self.decay_steps = max(1, int(decay_steps))
        self.num_envs = int(num_envs)
        self.steps = 0
        """Environment steps so far."""

    @property
    def epsilon(self) -> float:
        """The probability of a random action at the next turn."""
        if self.steps < self.random_steps:
            return 1.0
        progress = min(1.0, self.steps / self.decay_steps)
        return self.epsilon_start + progress * (self.epsilon_end - self.epsilon_start)

    def choose(self) -> NDArray[np.bool_]:
        """Count a turn, and return which environments explore in it, `(num_envs,)`."""
        epsilon = self.epsilon
        self.steps += self.num_envs
        if epsilon in (0.0, 1.0):
            return np.full(self.num_envs, epsilon == 1.0)
        return self._generator.random(self.num_envs) < epsilon

    def replace(self, action: Tensor, explores: NDArray[np.bool_], mask: Array | None = None) -> Tensor:
        """Return the actions, `(num_envs, branches)`, with random ones in the environments that explore.

        Args:
            action: The actions of the policy.
            explores: What `choose` returned.
            mask: See `RandomActions.draw`.
        """
        if not explores.any():
            return action
        drawn = torch.from_numpy(self.draw(mask)).to(action)
        return torch.where(torch.from_numpy(explores)[:, None].to(action.device), drawn, action)

    def state(self) -> State:
        """Steps so far; the generator is saved by the walker."""
        return {**super().state(), "steps": self.steps}

    def load_state(self, state: State) -> None:
        """Restore the steps."""
        self._last = state.get("last")
        self.steps = int(state["steps"])
