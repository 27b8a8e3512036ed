"""Compares experiments with stable-baselines3 on the same tasks, budgets and seeds, in one go.

Usage, with stable-baselines3 installed:

    python -m experiments.baselines.compare_sb3 FOLDER [--tasks NAME ...] [--seeds N] [--steps N]

Each training is a process of its own with one thread, and the two sides take turns, so that a busy machine slows both
alike. Time counts from the first environment step to the last, without imports. Then the policy plays 20 episodes
greedily. Every training is a row of FOLDER/compare_sb3.csv as soon as it is over; what is there already is not run
again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.analysis import interquartile_mean

Policy = Callable[[NDArray[np.float32]], Any]
"""From an observation to the action that the environment takes."""

EPISODES = 20
COLUMNS = ("task", "side", "seed", "steps", "seconds", "cpu_seconds", "steps_per_second", "return_mean")


@dataclass(frozen=True)
class Task:
    """One task for both sides.

    Attributes:
        environment: Its Gymnasium id.
        words: The command line of our side.
        algorithm: Name of the class of stable-baselines3.
        steps: Environment steps of a training.
        settings: Arguments of that class, as its zoo of tuned settings has them.
        num_envs: Environments of the other side.
    """

    environment: str
    words: tuple[str, ...]
    algorithm: str
    steps: int
    settings: dict[str, Any] = field(default_factory=dict)
    num_envs: int = 1


def _linear(start: float) -> Callable[[float], float]:
    return lambda remaining: start * remaining


TASKS = {
    "sac_pendulum": Task("Pendulum-v1", ("experiment=pendulum_sac",), "SAC", 15_000, {"learning_rate": 1e-3}),
    "dqn_cartpole": Task(
        "CartPole-v1", ("experiment=cartpole_dqn",), "DQN", 50_000,
        {
            "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000,
            "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128, "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04, "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
    "ppo_cartpole": Task(
        "CartPole-v1", ("experiment=cartpole_ppo",), "PPO", 100_000,
        {
            "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
            "learning_rate": _linear(1e-3), "clip_range": _linear(0.2),
        },
        num_envs=8,
    ),
    "ppo_acrobot": Task(
        "Acrobot-v1",
        (
            "experiment=cartpole_ppo", "environment.id=Acrobot-v1", "num_envs=16",
            "models.policy.network.normalize_inputs=true", "trainers.policy.rollout_steps=64",
        ),
        "PPO", 100_000,
        {"n_steps": 256, "gae_lambda": 0.94, "gamma": 0.99, "n_epochs": 4},
        num_envs=16,
    ),
}  # fmt: skip


def play(environment_id: str, policy: Policy, seed: int) -> float:
    """Return the mean return of whole episodes."""
    environment = gymnasium.make(environment_id)
    returns = []
    for episode in range(EPISODES):
        observation, _ = environment.reset(seed=1_000_000 + 1000 * seed + episode)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = environment.step(policy(observation))
            total += float(reward)
            over = terminated or truncated
        returns.append(total)
    return float(np.mean(returns))


def train_ours(task: Task, seed: int, steps: int) -> tuple[float, float, Policy]:
    """Return wall seconds, CPU seconds, and the greedy policy."""
    import torch

    from pamiq_exp.config import AllowList, build_experiment, compose, validate
    from pamiq_exp.runtime import launch

    words = [*task.words, f"seed={seed}", f"launcher.max_steps={steps}", "tracking=jsonl_only"]
    parts = build_experiment(validate(compose(words), AllowList()))
    wall, cpu = time.perf_counter(), time.process_time()
    launch(
        parts.interaction, parts.models, parts.buffers, parts.trainers, parts.launch_config,
        seed=seed, trackers=None,
    )  # fmt: skip
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    network: Any = parts.models["policy"].inference_module()  # type: ignore[operator]
    discrete = isinstance(gymnasium.make(task.environment).action_space, gymnasium.spaces.Discrete)

    @torch.no_grad()
    def act(observation: NDArray[np.float32]) -> Any:
        distribution, _ = network({"observation.vector": torch.from_numpy(observation)[None]})
        action = distribution.mode()[0].numpy()
        return int(action[0]) if discrete else action

    return *seconds, act


def train_theirs(task: Task, seed: int, steps: int) -> tuple[float, float, Policy]:
    """Return wall seconds, CPU seconds, and the greedy policy."""
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    environment = make_vec_env(task.environment, task.num_envs, seed)
    algorithm = getattr(stable_baselines3, task.algorithm)
    model = algorithm("MlpPolicy", environment, seed=seed, device="cpu", **task.settings)
    wall, cpu = time.perf_counter(), time.process_time()
    model.learn(steps)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return *seconds, lambda observation: model.predict(observation, deterministic=True)[0]


def one(name: str, side: str, seed: int, steps: int) -> dict[str, object]:
    """Train and play once; return the row."""
    import torch

    torch.set_num_threads(1)
    train = train_ours if side == "pamiq_exp" else train_theirs
    seconds, cpu, policy = train(TASKS[name], seed, steps)
    values = (name, side, seed, steps, seconds, cpu, steps / seconds, play(TASKS[name].environment, policy, seed))
    return dict(zip(COLUMNS, values, strict=True))


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows there are."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def show(rows: list[dict[str, str]]) -> None:
    """Print a line for each task and side: interquartile mean of returns, all of them, and steps per second."""
    for task, side in sorted({(row["task"], row["side"]) for row in rows}):
        chosen = [row for row in rows if (row["task"], row["side"]) == (task, side)]
        returns = sorted(float(row["return_mean"]) for row in chosen)
        wall = np.median([float(row["steps_per_second"]) for row in chosen])
        cpu = np.median([float(row["steps"]) / float(row["cpu_seconds"]) for row in chosen])
        print(
            f"{task:14} {side:10} n={len(chosen):2}  return IQM {interquartile_mean(np.array(returns)):8.1f}  "
            f"steps per second {wall:7.0f}, per CPU second {cpu:7.0f}  returns {' '.join(f'{r:.0f}' for r in returns)}"
        )


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, help="of each training; by default what the task says")
    parser.add_argument("--one", nargs=3, metavar=("TASK", "SIDE", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        task, side, seed = given.one
        print(json.dumps(one(task, side, int(seed), given.steps or TASKS[task].steps)))
        return
    path = given.folder / "compare_sb3.csv"
    given.folder.mkdir(parents=True, exist_ok=True)
    for task in given.tasks:
        steps = str(given.steps or TASKS[task].steps)
        for seed in range(given.seeds):
            for side in ("pamiq_exp", "sb3"):
                key = (task, side, str(seed), steps)
                if any((row["task"], row["side"], row["seed"], row["steps"]) == key for row in read(path)):
                    continue
                command = [sys.executable, "-m", "experiments.baselines.compare_sb3", str(given.folder)]
                command += ["--one", task, side, str(seed), "--steps", steps]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                row = json.loads(output.strip().splitlines()[-1])
                begins = not path.exists()
                with path.open("a", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS)
                    if begins:
                        writer.writeheader()
                    writer.writerow(row)
                print(" ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in row.values()))
    show(read(path))


if __name__ == "__main__":
    main()
