"""The task and the settings of PPO that all peers share; only the standard library, as each has its own environment."""

from __future__ import annotations

import argparse
import json

TASK = "CartPole-v1"
NUM_ENVS, ROLLOUT, EPOCHS, MINIBATCHES = 8, 128, 10, 4
GAMMA, LAMBDA, CLIP, VALUE_COEFFICIENT, LARGEST_NORM, RATE = 0.99, 0.95, 0.2, 0.5, 0.5, 1e-3
HIDDEN = (64, 64)
"""Of the policy and, apart from it, of the value; tanh."""

EPISODES = 100
"""The number of last episodes whose mean return is reported."""


def arguments() -> argparse.Namespace:
    """Read `seed` and `steps` from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int)
    parser.add_argument("steps", type=int)
    return parser.parse_args()


def report(steps: int, seconds: float, returns: list[float]) -> None:
    """Print the results as the last line."""
    last = returns[-EPISODES:]
    print(json.dumps({"steps_per_second": steps / seconds, "return": sum(last) / len(last)}))
