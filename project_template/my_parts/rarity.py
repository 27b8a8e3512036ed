import numpy as np

from pamiq_exp.rewards import Reward


class Rarity(Reward):
    """r = 1 / sqrt(n), where n counts how often this observation, rounded, was seen by any environment."""

    name = "rarity"

    def __init__(self):
        super().__init__()
        self._seen = {}

    def compute(self, transition):
        rows = transition.observation["observation.state"].round().int().tolist()
        names = [",".join(map(str, row)) for row in rows]
        for name in names:
            self._seen[name] = self._seen.get(name, 0) + 1
        return np.array([self._seen[name] ** -0.5 for name in names], dtype=np.float32)

    def state(self):
        return {"seen": dict(self._seen)}

    def load_state(self, state):
        self._seen = dict(state["seen"])
