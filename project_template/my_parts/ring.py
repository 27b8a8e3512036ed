import gymnasium
import numpy as np

from pamiq_exp.interaction import Environment, continual


class Ring(Environment):
    """A ring of cells, one of them with a flickering lamp.

    Args:
        num_envs: Number of environments, each with its own ring.
        cells: Cells of the ring.
        seed: Seed of the flicker.
    """

    def __init__(self, num_envs=1, cells=16, seed=0):
        self.num_envs = num_envs
        self.observation_space = gymnasium.spaces.Dict(
            {"state": gymnasium.spaces.Box(-1.0, 1.0, (cells + 1,), np.float32)}
        )
        self.action_space = gymnasium.spaces.Discrete(3)  # back, stay, forward
        self._cells = cells
        self._generator = np.random.default_rng(seed)
        self._position = np.zeros(num_envs, dtype=np.int64)
        self._flicker = np.zeros(num_envs, dtype=np.float32)
        self._turns_at_lamp = 0
        self._turns = 0

    def observe(self):
        values = np.zeros((self.num_envs, self._cells + 1), dtype=np.float32)
        values[np.arange(self.num_envs), self._position] = 1.0
        values[:, -1] = np.where(self._at_lamp, self._flicker, 0.0)
        return continual({"state": values})

    def affect(self, action):
        self._position = (self._position + action[:, 0] - 1) % self._cells
        self._flicker = self._generator.uniform(-1.0, 1.0, self.num_envs).astype(np.float32)
        self._turns_at_lamp += int(self._at_lamp.sum())
        self._turns += self.num_envs

    @property
    def _at_lamp(self):
        return self._position == self._cells // 2

    def summary(self):
        return {"time_at_lamp": self._turns_at_lamp / max(1, self._turns)}

    def state(self):
        return {
            "position": self._position.copy(),
            "flicker": self._flicker.copy(),
            "turns": [self._turns_at_lamp, self._turns],
        }

    def load_state(self, state):
        self._position = np.array(state["position"], dtype=np.int64)
        self._flicker = np.array(state["flicker"], dtype=np.float32)
        self._turns_at_lamp, self._turns = state["turns"]
