"""How fast the noise world is: `python -m tests.benchmarks.bench_noise_world`.

Frames per CPU-second, whole steps: actions, collisions, a new image for every tile, and the view of each environment.
Where two threads share the num_envs, the wall clock counts; on a machine that others use, `--first` lets these rows go
before everybody else for some seconds (it needs the right to real-time priorities).
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from pamiq_exp.environments import NoiseWorld
from tests.benchmarks import other_worlds
from tests.benchmarks.table import Row, markdown

STEPS = 150
REPEATS = 7
PAIRS = 25
"""Rounds where the wall clock counts: a second core is seldom free on a shared machine."""


def stepper(keys: Mapping[str, Any], truth: tuple[str, ...] = ()) -> Callable[[], int]:
    """Return a function that takes STEPS random steps and returns the number of frames."""
    world = NoiseWorld(**{"num_envs": 16, "start": "random"} | dict(keys))
    world.setup()
    generator = np.random.default_rng(0)
    actions = generator.integers(0, [3, 3, 3, 2, 2], (STEPS, world.num_envs, 5))

    def run() -> int:
        for action in actions:
            world.observe()
            known = world.ground_truth()
            for name in truth:
                known[name]
            world.affect(action)
        return STEPS * world.num_envs

    run()
    return run


def speed(run: Callable[[], int], clock: Callable[[], float] = time.process_time) -> float:
    """Frames a second of `clock`: the best of several runs, as other programs only ever slow it down."""
    best = 0.0
    for _ in range(REPEATS):
        begin = clock()
        frames = run()
        best = max(best, frames / (clock() - begin))
    return best


def ratio(
    first: Callable[[], int], second: Callable[[], int], clock: Callable[[], float], rounds: int = REPEATS
) -> tuple[float, float]:
    """Frames a second of two programs, measured in turn, as machines drift: the best of several rounds."""
    best = [0.0, 0.0]
    for _ in range(rounds):
        for index, run in enumerate((first, second)):
            begin = clock()
            frames = run()
            best[index] = max(best[index], frames / (clock() - begin))
    return best[0], best[1]


def of_the_busiest_thread(run: Callable[[], int]) -> float:
    """Frames for each CPU-second of the thread that has most to do: what as many free cores would make of it."""
    best = 0.0
    for _ in range(REPEATS):
        clocks = [time.pthread_getcpuclockid(thread.ident or 0) for thread in threading.enumerate()]
        begin = [time.clock_gettime(clock) for clock in clocks]
        frames = run()
        longest = max(time.clock_gettime(clock) - start for clock, start in zip(clocks, begin, strict=True))
        best = max(best, frames / longest)
    return best


@contextmanager
def before_all_others(wanted: bool) -> Iterator[None]:
    """Give all threads of this process a real-time priority for a while, if that is wanted."""

    def change(policy: int, priority: int) -> None:
        for thread in threading.enumerate() if wanted else ():
            os.sched_setscheduler(thread.native_id or 0, policy, os.sched_param(priority))

    change(os.SCHED_RR, 1)
    try:
        yield
    finally:
        change(os.SCHED_OTHER, 0)


def two_threads(num_envs: int, first: bool) -> list[Row]:
    """Two rendering threads beside one, by the wall clock and by what the busier of the two has to do."""
    one, two = (stepper({"threads": threads, "num_envs": num_envs}) for threads in (1, 2))
    with before_all_others(first):
        slow, fast = ratio(one, two, time.perf_counter, PAIRS)
    alone, shared = of_the_busiest_thread(one), of_the_busiest_thread(two)
    what = f"two rendering threads / one, {num_envs} environments"
    return [
        Row(f"two rendering threads, {num_envs} environments", fast, ">= 72,000 frames per wall second"),
        Row(f"{what}, frames per wall second", fast / slow, ">= 1.8", detail=f"{fast:,.0f} and {slow:,.0f}"),
        Row(
            f"{what}, frames per CPU-second of the busier thread",
            shared / alone,
            ">= 1.8",
            detail=f"{shared:,.0f} and {alone:,.0f}",
        ),
    ]


def rows(first: bool) -> list[Row]:
    """All rows of this benchmark but those of other worlds."""
    masked = ("noise_mask", "depth", "pose")
    result = [
        Row("64 x 64, 16 num_envs, all tiles re-drawn", speed(stepper({})), ">= 40,000 frames per CPU-second"),
        Row(
            "the same with noise mask, depth and pose",
            speed(stepper({}, masked)),
            ">= 30,000 frames per CPU-second",
        ),
        Row(
            "64 x 64, 1 environment, with mask and pose",
            speed(stepper({"num_envs": 1}, masked)),
            ">= 20,000 frames per CPU-second",
        ),
        Row(
            "144 x 144, 1 environment, with mask",
            speed(stepper({"num_envs": 1, "image_size": 144}, masked)),
            ">= 2,000 frames per CPU-second",
        ),
        Row("40 x 40, 16 environments", speed(stepper({"image_size": 40})), ">= 80,000 frames per CPU-second"),
    ]
    clean, noisy = ratio(stepper({"noise": {"fraction": 0}}), stepper({}), time.process_time)
    result.append(
        Row(
            "noise everywhere / no noise, time of a frame",
            clean / noisy,
            "<= 1.15",
            detail=f"{noisy:,.0f} and {clean:,.0f}",
        )
    )
    return result + two_threads(16, first) + two_threads(64, first)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--first", action="store_true")
    print(markdown(rows(parser.parse_args().first) + other_worlds.rows()))
