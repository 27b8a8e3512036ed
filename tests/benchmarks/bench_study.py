"""What a step of the study costs, and the same PPO in stable-baselines3 beside it.

Both learn in the same world with the same network, batches and numbers of updates; each measurement is a process of its
own, and they take turns. What counts is CPU time (of all threads), as the difference of a longer and a shorter run, so
that start-up falls out; wall time is told as well: `python -m tests.benchmarks.bench_study [--repeats 3] [--profile]`.
Needs `pip install stable-baselines3` for the comparison.
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

from tests.benchmarks.table import Row, markdown

LANES, ROLLOUT, ROLLOUTS = 16, 128, (2, 8)
EXPERIMENT = (
    "experiment=curiosity_study",
    "launcher.checkpoint.every_steps=null",
    "launcher.checkpoint.at_end=false",
    "metrics=none",
)


def run_ours(rollouts: int, words: Sequence[str], profile: cProfile.Profile | None = None) -> dict[str, float]:
    """Take so many rollouts and the turn after them; return seconds without the building of parts."""
    import torch

    from pamiq_exp.config import build_experiment, compose_config
    from pamiq_exp.runtime import launch

    torch.set_num_threads(1)
    steps = LANES * (ROLLOUT * rollouts + 1)
    experiment = build_experiment(compose_config([*EXPERIMENT, f"launcher.max_steps={steps}", *words]))
    begin = time.perf_counter(), time.process_time()
    if profile is not None:
        profile.enable()
    launch(experiment.interaction, experiment.models, experiment.buffers, experiment.trainers, experiment.launch_config)
    if profile is not None:
        profile.disable()
    return {"wall": time.perf_counter() - begin[0], "cpu": time.process_time() - begin[1]}


def run_theirs(rollouts: int) -> dict[str, float]:
    """The same rollouts with stable-baselines3, in the same world without a reward."""
    import torch
    from stable_baselines3 import PPO

    from tests.benchmarks.sb3_parts import Features, World

    torch.set_num_threads(1)
    model = PPO(
        "CnnPolicy",
        World(LANES),
        n_steps=ROLLOUT,
        batch_size=LANES * ROLLOUT // 4,
        n_epochs=3,
        ent_coef=0.01,
        device="cpu",
        policy_kwargs={"features_extractor_class": Features, "net_arch": []},
    )
    begin = time.perf_counter(), time.process_time()
    model.learn(LANES * ROLLOUT * rollouts)
    return {"wall": time.perf_counter() - begin[0], "cpu": time.process_time() - begin[1]}


def microseconds(what: Sequence[str]) -> dict[str, float]:
    """Microseconds of a step: the difference of two runs in processes of their own."""
    results = []
    for rollouts in ROLLOUTS:
        command = [sys.executable, "-m", "tests.benchmarks.bench_study", "--one", str(rollouts), *what]
        results.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout.splitlines()[-1]))
    steps = LANES * ROLLOUT * (ROLLOUTS[1] - ROLLOUTS[0])
    return {name: 1e6 * (results[1][name] - results[0][name]) / steps for name in results[0]}


CASES = {
    "pixel_error, lockstep": ["arm=pixel_error"],
    "pixel_error, pipelined": ["arm=pixel_error", "launcher=pipelined", "launcher.overlap_turns=128"],
    "PPO alone, lockstep": ["arm=count_oracle", "interaction.agent.reward.normaliser.floor=0"],
}


def rows(repeats: int) -> list[Row]:
    """All figures of this benchmark."""
    cases: dict[str, list[str]] = dict(CASES)
    if importlib.util.find_spec("stable_baselines3"):
        cases["stable-baselines3"] = ["theirs"]
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, words in cases.items():
            measured[name].append(microseconds(words))
    cpu = {name: statistics.median(each["cpu"] for each in found) for name, found in measured.items()}
    wall = {name: statistics.median(each["wall"] for each in found) for name, found in measured.items()}
    table = [
        Row(f"steps per second, {name}", 1e6 / wall[name], ">= 3,000", detail=f"{cpu[name]:.0f} us of CPU a step")
        for name in CASES
        if name.startswith("pixel_error")
    ]
    if "stable-baselines3" in cases:
        table.append(
            Row(
                "CPU time of a step, our PPO / stable-baselines3",
                cpu["PPO alone, lockstep"] / cpu["stable-baselines3"],
                "<= 1",
                detail=f"{cpu['PPO alone, lockstep']:.0f} us and {cpu['stable-baselines3']:.0f} us; "
                f"wall {wall['PPO alone, lockstep']:.0f} us and {wall['stable-baselines3']:.0f} us",
            )
        )
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
        run_ours(3, words or ["arm=pixel_error"], profile)
        pstats.Stats(profile).sort_stats("cumtime").print_stats("pamiq_exp", 40)
    else:
        print(markdown(rows(arguments.repeats)))


if __name__ == "__main__":
    main()
