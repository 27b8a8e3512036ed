"""The grid world of Curiosity-Critic (Bhaskara and Wang 2026): nine rewards, five seeds, one table.

python experiments/curiosity_critic/run.py            # all runs that are missing, then the table
python experiments/curiosity_critic/run.py oracle 0   # one reward, one seed
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pamiq_exp.rewards import TableCritic

SIDE, LEARNABLE, BITS, STEPS = 30, 15, 200, 35_000
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
NOISE_ERROR = float(np.sqrt(BITS * 0.25))
"""Expected norm of the error of the best prediction of a fresh random vector: the oracle's baseline."""

STEP_SIZE, EPSILON, INITIAL_VALUE = 0.05, 0.3, 3.0
"""Of the value table. Its discount is 0, so the value of a cell is a moving average of its scaled rewards."""

PATTERN_SEED, WARM_UP_STEPS = 0, 100
START = 15 * SIDE + 15
RESULTS = Path(__file__).parent / "results.csv"
SEEDS = range(5)
PUBLISHED = {
    "random": (2.348, 0.377), "error": (7.114, 0.147), "error_change": (2.939, 0.398), "counts": (5.588, 0.794),
    "rnd_state": (2.220, 0.109), "rnd_observation": (6.842, 0.212), "table_critic": (1.912, 0.070),
    "neural_critic": (1.858, 0.080), "oracle": (1.736, 0.063),
}  # fmt: skip


class Grid:
    """30x30 cells: the left half shows a fixed vector for each cell, the right half a fresh one at each visit."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        base = np.random.default_rng(PATTERN_SEED).integers(0, 2, BITS).astype(np.float32)
        self.patterns = np.stack([np.roll(base, 3 * cell) for cell in range(SIDE * LEARNABLE)])

    def look(self, state: int) -> NDArray[np.float32]:
        """The vector that a cell shows now."""
        row, column = divmod(state, SIDE)
        if column < LEARNABLE:
            pattern: NDArray[np.float32] = self.patterns[row * LEARNABLE + column]
            return pattern
        return self._generator.integers(0, 2, BITS).astype(np.float32)


def neighbors(state: int) -> list[int]:
    """The cells that the actions lead to; there are no actions into walls."""
    row, column = divmod(state, SIDE)
    cells = ((row + down, column + right) for down, right in MOVES)
    return [down * SIDE + right for down, right in cells if 0 <= down < SIDE and 0 <= right < SIDE]


def one_hot(state: int) -> Tensor:
    """Row and column of a cell, `(1, 60)`."""
    row, column = divmod(state, SIDE)
    inputs = torch.zeros(1, 2 * SIDE)
    inputs[0, row] = inputs[0, SIDE + column] = 1
    return inputs


class Regression:
    """A network with one hidden layer, trained by one step of Adam on each sample."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        self.network = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        self.begin()

    def begin(self) -> None:
        """Let the optimizer forget its moments."""
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3, fused=True)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Predict without gradients."""
        with torch.no_grad():
            output: Tensor = self.network(inputs)
        return output

    def step(self, inputs: Tensor, target: Tensor) -> float:
        """Take one step on the mean squared error; return the sum of squared errors before it."""
        squared = (self.network(inputs) - target).square()
        self._optimizer.zero_grad()
        squared.mean().backward()
        self._optimizer.step()
        return float(squared.detach().sum())


Reward = Callable[[int, NDArray[np.float32], float, float], float]
"""From the cell, its vector, and the errors of the model before and after its step."""


def make_reward(name: str) -> Reward:
    """One of the nine rewards, with a state of its own."""
    if name == "random":
        return lambda state, seen, before, after: 0.0
    if name == "error":
        return lambda state, seen, before, after: before
    if name == "error_change":
        return lambda state, seen, before, after: before - after
    if name == "oracle":
        return lambda state, seen, before, after: before - NOISE_ERROR * (state % SIDE >= LEARNABLE)
    if name == "counts":
        return _counts()
    if name in ("rnd_state", "rnd_observation"):
        return _distillation(name == "rnd_observation")
    return _table_critic() if name == "table_critic" else _neural_critic()


def _counts() -> Reward:
    visits = np.ones(SIDE * SIDE)

    def reward(state: int, seen: NDArray[np.float32], before: float, after: float) -> float:
        visits[state] += 1
        return float(1 / np.sqrt(visits[state]))

    return reward


def _distillation(observation: bool) -> Reward:
    width = BITS if observation else 2 * SIDE
    target, predictor = Regression(width, 128, 128), Regression(width, 128, 128)

    def reward(state: int, seen: NDArray[np.float32], before: float, after: float) -> float:
        given = torch.from_numpy(seen)[None] if observation else one_hot(state)
        wanted = target(given)
        return predictor.step(given, wanted) / wanted.numel()

    return reward


def _table_critic() -> Reward:
    critic = TableCritic(SIDE * SIDE, ema_decay=0.9)

    def reward(state: int, seen: NDArray[np.float32], before: float, after: float) -> float:
        critic.update(state, after)
        return before - critic(state)

    return reward


def _neural_critic() -> Reward:
    critic = Regression(2 * SIDE, 128, 1)

    def reward(state: int, seen: NDArray[np.float32], before: float, after: float) -> float:
        inputs = one_hot(state)
        critic.step(inputs, torch.tensor([[after]]))
        return before - max(float(critic(inputs)), 0.0)

    return reward


class RewardScale:
    """Divides rewards by the standard deviation of an exponential moving average, which starts at 0."""

    def __init__(self, ema_decay: float = 0.95) -> None:
        self._ema_decay = ema_decay
        self._moments = np.zeros(2)

    def __call__(self, reward: float) -> float:
        """Count a reward, and return it scaled."""
        self._moments = self._ema_decay * self._moments + (1 - self._ema_decay) * np.array([reward, reward**2])
        mean, square = self._moments
        return float(reward / (np.sqrt(max(square - mean**2, 0.0)) + 1e-8))


def warmed_up(seed: int) -> Regression:
    """The world model after a short random walk; the rewards of a seed begin with equal parameters."""
    generator = np.random.default_rng((seed, 1))
    torch.manual_seed(seed)
    grid, model, state = Grid(generator), Regression(2 * SIDE, 1024, BITS), START
    for _ in range(WARM_UP_STEPS):
        model.step(one_hot(state), torch.from_numpy(grid.look(state))[None])
        state = int(generator.choice(neighbors(state)))
    model.begin()
    return model


def run(name: str, seed: int, steps: int = STEPS) -> float:
    """Return the mean norm of the model's error over the learnable cells at the end of a run."""
    generator = np.random.default_rng(seed)
    model = warmed_up(seed)
    grid, reward, scale = Grid(generator), make_reward(name), RewardScale()
    values = np.full(SIDE * SIDE, INITIAL_VALUE)
    state = START
    for _ in range(steps):
        seen = grid.look(state)
        inputs, target = one_hot(state), torch.from_numpy(seen)[None]
        before = model.step(inputs, target) ** 0.5
        after = float(torch.linalg.vector_norm(model(inputs) - target))
        scaled = scale(max(0.0, reward(state, seen, before, after)))
        ways = neighbors(state)
        if name == "random" or generator.random() < EPSILON:
            following = ways[generator.integers(len(ways))]
        else:
            worth = values[ways]
            following = ways[generator.choice(np.flatnonzero(worth == worth.max()))]
        values[state] += STEP_SIZE * (scaled - values[state])
        state = following
    cells = [row * SIDE + column for row in range(SIDE) for column in range(LEARNABLE)]
    predicted = model(torch.cat([one_hot(cell) for cell in cells]))
    return float(torch.linalg.vector_norm(predicted - torch.from_numpy(grid.patterns), dim=-1).mean())


def read_results() -> dict[tuple[str, int], float]:
    """The final errors so far, by reward and seed."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="") as file:
        return {(row["reward"], int(row["seed"])): float(row["final_error"]) for row in csv.DictReader(file)}


def write_result(name: str, seed: int, error: float) -> None:
    """Append one final error."""
    begins = not RESULTS.exists()
    with RESULTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if begins:
            writer.writerow(["reward", "seed", "final_error"])
        writer.writerow([name, seed, f"{error:.4f}"])


def table() -> str:
    """The table as Markdown: final errors of all seeds beside the published ones."""
    results = read_results()
    lines = ["| reward | ours, mean and std | seeds | published | within both spreads |", "|---|---|---|---|---|"]
    for name, (mean, std) in PUBLISHED.items():
        errors = [error for (reward, _), error in sorted(results.items()) if reward == name]
        if not errors:
            lines.append(f"| {name} | not run | | {mean} +- {std} | |")
            continue
        own = float(np.mean(errors))
        each = ", ".join(f"{error:.2f}" for error in errors)
        if len(errors) == 1:  # a spread is not known
            lines.append(f"| {name} | {own:.3f} | {each} | {mean} +- {std} | |")
            continue
        spread = float(np.std(errors, ddof=1))
        within = "yes" if abs(own - mean) <= spread + std else "no"
        lines.append(f"| {name} | {own:.3f} +- {spread:.3f} | {each} | {mean} +- {std} | {within} |")
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """Run what is asked for, or all that is missing, and print the table."""
    torch.set_num_threads(1)
    done = read_results()
    asked = [(words[0], int(words[1]))] if words else [(name, seed) for seed in SEEDS for name in PUBLISHED]
    for name, seed in asked:
        if (name, seed) not in done:
            write_result(name, seed, run(name, seed))
    print(table())


if __name__ == "__main__":
    main(sys.argv[1:])
