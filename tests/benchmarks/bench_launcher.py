"""What training costs the world, and the launcher both: `python -m tests.benchmarks.bench_launcher`.

All values come from the real launcher. Pairs are measured in turn within one run, and each pair several
times, because machines drift; the median of the ratios is what is shown.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from pamiq_exp.interaction import FixedIntervalInteraction, Interaction
from pamiq_exp.runtime import LaunchConfig, Summary, launch
from pamiq_exp.runtime.memory import tune_malloc
from tests.benchmarks.launcher_parts import (
    ContinuousTrainer,
    NoOpAgent,
    NoOpWorld,
    PixelAgent,
    PixelModel,
    PixelWorld,
    WaitingTrainer,
)
from tests.benchmarks.table import Row, markdown

NAIVE = {"switch_interval": 0.005, "training_nice": 0}
"""What Python does by itself."""


def run(
    seconds: float,
    trainer: ContinuousTrainer | None,
    rate: float = 100.0,
    switch_interval: float | None = LaunchConfig.switch_interval,
    training_nice: int = LaunchConfig.training_nice,
) -> Summary:
    """Launch a pixel agent at `rate` turns a second, for `seconds`."""
    config = LaunchConfig(max_seconds=seconds, switch_interval=switch_interval, training_nice=training_nice)
    interaction = FixedIntervalInteraction(PixelAgent(), PixelWorld(), 1.0 / rate)
    trainers = {} if trainer is None else {"network": trainer}
    return launch(interaction, {"network": PixelModel()}, {}, trainers, config)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Other work on the same machine."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Pairs:
    """Latencies with and without training, of several pairs."""

    quiet: list[Summary]
    training: list[Summary]

    def ratio(self, key: str) -> float:
        """Median over the pairs of the value with training over that without."""
        return statistics.median(
            float(busy[key]) / float(calm[key]) for calm, busy in zip(self.quiet, self.training, strict=True)
        )

    def detail(self, key: str) -> str:
        """Both medians."""
        calm, busy = (statistics.median(float(run[key]) for run in runs) for runs in (self.quiet, self.training))
        return f"{calm:.2f} ms without, {busy:.2f} ms with training"


def pairs(
    seconds: float,
    repeats: int,
    trainer: Callable[[], ContinuousTrainer],
    switch_interval: float | None = LaunchConfig.switch_interval,
    training_nice: int = LaunchConfig.training_nice,
) -> Pairs:
    """Run without and with training in turn."""
    quiet, training = [], []
    for _ in range(repeats):
        quiet.append(run(seconds, None, switch_interval=switch_interval, training_nice=training_nice))
        training.append(run(seconds, trainer(), switch_interval=switch_interval, training_nice=training_nice))
    return Pairs(quiet, training)


def latency_rows(seconds: float, repeats: int) -> Iterator[Row]:
    """How much longer a step takes during training."""
    ours = pairs(seconds, repeats, ContinuousTrainer)
    naive = pairs(seconds, repeats, ContinuousTrainer, **NAIVE)
    for share, aim in (("p99", "<= 1.2"), ("p999", "<= 2")):
        key = f"step_milliseconds_{share}"
        what = f"{share} of a step, training / no training, quiet machine"
        yield Row(what, ours.ratio(key), aim, naive.ratio(key), ours.detail(key))
    with busy_processes(2):
        ours = pairs(seconds, repeats, ContinuousTrainer)
        naive = pairs(seconds, repeats, ContinuousTrainer, **NAIVE)
    key = "step_milliseconds_p99"
    what = "p99 of a step, training / no training, beside two busy processes"
    yield Row(what, ours.ratio(key), "<= 1.5", naive.ratio(key), ours.detail(key))
    gil = lambda: ContinuousTrainer(python_seconds=0.01)  # noqa: E731
    ours, naive = pairs(seconds, repeats, gil), pairs(seconds, repeats, gil, **NAIVE)
    what = "p99 of a step, training with 10 ms of pure Python a batch / no training"
    yield Row(what, ours.ratio(key), "<= 2", naive.ratio(key), ours.detail(key))


def training_alone(seconds: float) -> float:
    """Batches per second of the same training in a plain loop, with the memory that this process keeps."""
    torch.set_num_threads(1)

    class Context:
        models = {"network": PixelModel()}

    trainer = ContinuousTrainer()
    trainer.attach(Context())  # type: ignore[arg-type]
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        for _ in trainer.round():
            pass
    return trainer.batches / (time.perf_counter() - begin)


def training_alone_as_it_comes(seconds: float) -> float:
    """The same in a process of its own, with glibc's own settings of memory."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_launcher", "--alone", "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True).stdout)


def throughput_rows(seconds: float, repeats: int) -> Iterator[Row]:
    """What the world costs training."""
    beside, alone, naive, share = [], [], [], []
    tune_malloc()
    for _ in range(repeats):
        naive.append(training_alone_as_it_comes(seconds))
        alone.append(training_alone(seconds))
        trainer = ContinuousTrainer()
        summary = run(seconds, trainer, rate=10.0)
        beside.append(trainer.batches / float(summary["wall_seconds"]))
    ratio = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
    detail = (
        f"{statistics.median(beside):.1f} and {statistics.median(alone):.1f} batches/s; "
        f"alone with glibc's own settings of memory {statistics.median(naive):.1f}"
    )
    yield Row("training steps per second beside a 10 Hz agent / alone", ratio, ">= 0.95", detail=detail)
    for _ in range(repeats):
        with busy_processes(2):
            calm, trainer = training_alone(seconds), ContinuousTrainer()
            summary = run(seconds, trainer)
        share.append(trainer.batches / float(summary["wall_seconds"]) / calm)
    what = "training steps per second at 100 Hz / alone, both beside two busy processes"
    yield Row(what, statistics.median(share), ">= 0.5")


def cost_rows(seconds: float) -> Iterator[Row]:
    """What the launcher itself costs."""
    summary = launch(Interaction(NoOpAgent(), NoOpWorld()), config=LaunchConfig(max_steps=200_000))
    cost = 1e6 * float(summary["wall_seconds"]) / float(summary["steps"])
    yield Row("microseconds of an unpaced turn with no-op agent and world", cost, "<= 10")
    marks: list[tuple[float, float]] = []

    class MarkedWorld(PixelWorld):
        def affect(self, action: np.ndarray) -> None:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            marks.append((time.perf_counter(), usage.ru_utime + usage.ru_stime))
            super().affect(action)

    interaction = FixedIntervalInteraction(PixelAgent(), MarkedWorld(), 0.1)
    config = LaunchConfig(max_seconds=seconds)
    summary = launch(interaction, {"network": PixelModel()}, {}, {"network": WaitingTrainer()}, config)
    # From the tenth turn on: setting up is not what an idle run costs.
    (wall_before, used_before), (wall_after, used_after) = marks[9], marks[-1]
    share = 100 * (used_after - used_before) / (wall_after - wall_before)
    # Ten steps a second: their milliseconds are tenths of a percent, ten times over.
    detail = f"of which {float(summary['step_milliseconds_p50']):.1f} in the agent's own steps"
    yield Row("percent of a core: 10 Hz agent, one trainer waiting for data", share, "<= 3", detail=detail)


def pacing_rows(seconds: float) -> Iterator[Row]:
    """How well the rate is kept."""
    for rate, aim in ((100.0, ">= 0.9999"), (1000.0, ">= 0.999")):
        config = LaunchConfig(max_steps=int(rate * seconds))
        summary = launch(FixedIntervalInteraction(NoOpAgent(), NoOpWorld(), 1.0 / rate), config=config)
        # The last turn begins one interval before its period ends.
        achieved = (float(summary["steps"]) - 1) / (rate * float(summary["wall_seconds"]))
        detail = f"{summary['deadline_misses']} deadlines missed in {seconds:.0f} s"
        yield Row(f"achieved / asked rate at {rate:.0f} Hz", achieved, aim, detail=detail)


class EveryTurnsTrainer(ContinuousTrainer):
    """A round of ten batches for every `turns` turns: as learning agents do."""

    def __init__(self, turns: int) -> None:
        super().__init__(batch_size=32)
        self._turns, self._asked = turns, 0

    def ready(self) -> bool:
        self._asked += 1
        return self._asked % self._turns == 0


def pipelined_rows(steps: int, repeats: int) -> Iterator[Row]:
    """What overlapping turns and training gains, with a round that costs about as much as the turns between."""
    rates: dict[str, list[float]] = {"lockstep": [], "pipelined": []}
    for _ in range(repeats):
        for mode, found in rates.items():
            # Pipelined asks only when no round is under way: 100 turns of overlap, then at once the next round.
            trainer = EveryTurnsTrainer(100 if mode == "lockstep" else 1)
            config = LaunchConfig(mode=mode, max_steps=steps, overlap_turns=100)  # type: ignore[arg-type]
            interaction = Interaction(PixelAgent(), PixelWorld())
            summary = launch(interaction, {"network": PixelModel()}, {}, {"network": trainer}, config)
            found.append(float(summary["steps_per_second"]))
            if abs(trainer.batches - 10 * steps // 100) > 10:
                raise RuntimeError(f"{mode} trained {trainer.batches} batches: the two modes did not do the same work")
    ratio = statistics.median(p / q for p, q in zip(rates["pipelined"], rates["lockstep"], strict=True))
    detail = ", ".join(f"{mode} {statistics.median(found):.0f} steps/s" for mode, found in rates.items())
    yield Row(
        "steps per second, pipelined / lockstep, a round of ten batches each 100 turns", ratio, ">= 1", detail=detail
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one run")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(training_alone(options.seconds))
        return
    rows = [
        *cost_rows(options.seconds),
        *pacing_rows(3 * options.seconds),
        *latency_rows(options.seconds, options.repeats),
        *throughput_rows(options.seconds, options.repeats),
        *pipelined_rows(5000, options.repeats),
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()
