"""What a step of the study costs, and the same PPO in stable-baselines3 beside it.

Both learn in the same world with the same network, batches and numbers of updates; each measurement is a process of its
own, and they take turns. The time from each rollout to the next is taken, training included, and the first ones left
out. On a machine that others use as well the quickest rollout tells most, the median what it is like there:
`python -m tests.benchmarks.bench_study [--repeats 3] [--profile]`. Needs `pip install stable-baselines3` for the
comparison.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib.util
import json
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise

from pamiq_exp.interaction import StepObserver, Turn
from tests.benchmarks.table import Row, markdown

NUM_ENVS, ROLLOUT, ROLLOUTS, WARM = 32, 32, 20, 4
EXPERIMENT = (
    "experiment=curiosity_study",
    "launcher.checkpoint.every_steps=null",
    "launcher.checkpoint.at_end=false",
    "metrics=none",
)
Marks = list[tuple[float, float]]
"""Wall and CPU seconds at the start of each rollout."""


def mark() -> tuple[float, float]:
    """Return the time now."""
    return time.perf_counter(), time.process_time()


class Stopwatch(StepObserver):
    """Notes the time at the start of each rollout."""

    def __init__(self) -> None:
        self.marks: Marks = []
        self._turns = 0

    def on_step(self, turn: Turn) -> None:
        if self._turns % ROLLOUT == 1:  # a rollout is trained on when the turn after it has come
            self.marks.append(mark())
        self._turns += 1


def run_ours(rollouts: int, words: Sequence[str], profile: cProfile.Profile | None = None) -> Marks:
    """Take so many rollouts and the turn after them."""
    from pamiq_exp.config import build_experiment, compose_config
    from pamiq_exp.runtime import launch

    steps = NUM_ENVS * (ROLLOUT * rollouts + 2)
    experiment = build_experiment(compose_config([*EXPERIMENT, f"launcher.max_steps={steps}", *words]))
    watch = experiment.interaction.observers["stopwatch"] = Stopwatch()
    if profile is not None:
        profile.enable()
    launch(experiment.interaction, experiment.models, experiment.buffers, experiment.trainers, experiment.launch_config)
    if profile is not None:
        profile.disable()
    return watch.marks


def run_theirs(rollouts: int) -> Marks:
    """The same rollouts with stable-baselines3, in the same world without a reward."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback

    from tests.benchmarks.sb3_parts import Features, World

    class Watch(BaseCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.marks: Marks = []

        def _on_rollout_start(self) -> None:
            self.marks.append(mark())

        def _on_step(self) -> bool:
            return True

    torch.set_num_threads(1)
    model = PPO(
        "CnnPolicy",
        World(NUM_ENVS),
        n_steps=ROLLOUT,
        batch_size=NUM_ENVS * ROLLOUT // 4,
        n_epochs=3,
        ent_coef=0.003,
        device="cpu",
        policy_kwargs={"features_extractor_class": Features, "net_arch": []},
    )
    watch = Watch()
    model.learn(NUM_ENVS * ROLLOUT * (rollouts + 1), callback=watch)
    return watch.marks


def microseconds(what: Sequence[str]) -> list[tuple[float, float]]:
    """Wall and CPU microseconds of a step, for each rollout of a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_study", "--one", str(ROLLOUTS), *what]
    marks = json.loads(subprocess.run(command, check=True, capture_output=True).stdout.splitlines()[-1])
    scale = 1e6 / (NUM_ENVS * ROLLOUT)
    return [(scale * (b[0] - a[0]), scale * (b[1] - a[1])) for a, b in pairwise(marks[WARM:])]


CASES = {
    "pixel_error, lockstep": ["arm=pixel_error"],
    "pixel_error, pipelined": ["arm=pixel_error", "launcher=pipelined", "launcher.overlap_turns=32"],
    "PPO alone, lockstep": ["arm=count_oracle", "interaction.agent.reward.normalizer.min_relative_std=0"],
}


def rows(repeats: int) -> list[Row]:
    """All values of this benchmark."""
    cases: dict[str, list[str]] = dict(CASES)
    if importlib.util.find_spec("stable_baselines3"):
        cases["stable-baselines3"] = ["theirs"]
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, words in cases.items():
            measured[name] += microseconds(words)
    wall, cpu = ({name: [each[kind] for each in found] for name, found in measured.items()} for kind in (0, 1))

    def detail_of(name: str) -> str:
        return (
            f"median {1e6 / statistics.median(wall[name]):,.0f}; us of CPU a step: least {min(cpu[name]):.0f}, "
            f"median {statistics.median(cpu[name]):.0f}"
        )

    table = [
        Row(
            f"steps per second of the quickest rollout, {name}",
            1e6 / min(wall[name]),
            ">= 6,000",
            detail=detail_of(name),
        )
        for name in CASES
        if name.startswith("pixel_error")
    ]
    if "stable-baselines3" in cases:
        ours, theirs = "PPO alone, lockstep", "stable-baselines3"
        for kind, of in (("steps per second", wall), ("CPU time of a step, inverse", cpu)):
            ratios = min(of[theirs]) / min(of[ours]), statistics.median(of[theirs]) / statistics.median(of[ours])
            detail = f"quickest rollouts; medians {ratios[1]:.2f}. Ours: {detail_of(ours)}. Theirs: {detail_of(theirs)}"
            table.append(Row(f"{kind}, our PPO / stable-baselines3", ratios[0], ">= 2", detail=detail))
    return table


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="show where the time of the pixel_error arm goes")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments, words = parser.parse_known_args()
    if arguments.one is not None:
        print(json.dumps(run_theirs(arguments.one) if words == ["theirs"] else run_ours(arguments.one, words)))
    elif arguments.profile:
        profile = cProfile.Profile(time.thread_time)
        run_ours(4, words or ["arm=pixel_error"], profile)
        pstats.Stats(profile).sort_stats("cumtime").print_stats("pamiq_exp", 40)
    else:
        print(markdown(rows(arguments.repeats)))


if __name__ == "__main__":
    main()
