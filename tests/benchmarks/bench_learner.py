"""What training costs the agent where it is, on a thread or in a process: `python -m tests.benchmarks.bench_learner`.

All values come from the real launcher. The runs of one pair follow each other within one run of this file, without
training first, and the median over the pairs of their ratio is what is shown. The baseline is `learner=thread`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.interaction import FixedIntervalInteraction
from pamiq_exp.runtime import LaunchConfig, Publisher, Summary, launch
from pamiq_exp.runtime.config import LearnerPlace
from tests.benchmarks.bench_data import FIELDS, Layers
from tests.benchmarks.bench_launcher import busy_processes, training_alone
from tests.benchmarks.launcher_parts import ContinuousTrainer, PixelAgent, PixelModel, PixelWorld
from tests.benchmarks.table import Row, markdown, median_seconds

PLACES: tuple[LearnerPlace, ...] = ("process", "thread")


class HoldingTrainer(ContinuousTrainer):
    """Holds the interpreter for ten milliseconds a batch, in one call that lets no other thread go on."""

    def attach(self, context: object) -> None:
        super().attach(context)  # type: ignore[arg-type]
        begin = time.perf_counter()
        sum(range(1_000_000))
        self._count = int(1_000_000 * 0.01 / (time.perf_counter() - begin))

    def round(self) -> Iterator[Mapping[str, float]]:
        for metrics in super().round():
            sum(range(self._count))
            yield metrics


def run(seconds: float, trainer: ContinuousTrainer | None, place: LearnerPlace = "thread") -> Summary:
    """Launch a pixel agent at 100 turns a second."""
    config = LaunchConfig(max_seconds=seconds, learner=place)
    interaction = FixedIntervalInteraction(PixelAgent(), PixelWorld(), 0.01)
    trainers = {} if trainer is None else {"network": trainer}
    return launch(interaction, {"network": PixelModel()}, {}, trainers, config)


class Runs:
    """Runs without training, with training in a process, and with training on a thread, several of each in turn."""

    def __init__(self, seconds: float, repeats: int, trainer: Callable[[], ContinuousTrainer]) -> None:
        self.quiet: list[Summary] = []
        self.training: dict[LearnerPlace, list[Summary]] = {place: [] for place in PLACES}
        for _ in range(repeats):
            self.quiet.append(run(seconds, None))
            for place, found in self.training.items():
                found.append(run(seconds, trainer(), place))

    def row(self, what: str, key: str, aim: str) -> Row:
        """One value beside training over the same without."""
        ratios = {
            place: statistics.median(
                float(busy[key]) / float(calm[key]) for calm, busy in zip(self.quiet, found, strict=True)
            )
            for place, found in self.training.items()
        }
        medians = [
            statistics.median(float(each[key]) for each in runs) for runs in (self.quiet, *self.training.values())
        ]
        detail = "{:.2f} ms without training, {:.2f} in a process, {:.2f} on a thread".format(*medians)
        return Row(what, ratios["process"], aim, ratios["thread"], detail)


def latency_rows(seconds: float, repeats: int) -> Iterator[Row]:
    """How much longer a step takes during training."""
    with busy_processes(2):
        runs = Runs(seconds, repeats, ContinuousTrainer)
    what = "p99 of a step, training / no training, beside two busy processes"
    yield runs.row(what, "step_milliseconds_p99", "<= 1.3")
    runs = Runs(seconds, repeats, HoldingTrainer)
    what = "of a step, training that holds the interpreter for 10 ms a batch / no training"
    yield runs.row(f"p99 {what}", "step_milliseconds_p99", "<= 1.2")
    yield runs.row(f"p99.9 {what}", "step_milliseconds_p999", "<= 1.5")


def share_rows(seconds: float, repeats: int) -> Iterator[Row]:
    """How much training gets done."""
    shares: dict[LearnerPlace, list[float]] = {place: [] for place in PLACES}
    for _ in range(repeats):
        with busy_processes(2):
            alone = training_alone(seconds)
            for place, found in shares.items():
                summary = run(seconds, ContinuousTrainer(), place)
                found.append(float(summary["training_steps"]) / float(summary["wall_seconds"]) / alone)
    medians = {place: statistics.median(found) for place, found in shares.items()}
    what = "training steps per second at 100 Hz / alone, both beside two busy processes"
    yield Row(what, medians["process"], ">= 0.5", medians["thread"])


def publication_row() -> Row:
    """What one publication takes, until the agent has it: from the call in one process to the step in the other."""
    model = Layers(16, 724)
    publisher = Publisher({"model": model}, shared=True)
    targets = [torch.zeros_like(weight) for weight in model.parameters()]
    sources: list[nn.Parameter] = list(model.parameters())

    def raw() -> None:
        with torch.no_grad():
            torch._foreach_copy_(targets, sources)

    ours, theirs = multiprocessing.get_context("fork").Pipe()

    def publish() -> None:
        torch.set_num_threads(1)
        for _ in range(20):
            theirs.recv()
            floor = median_seconds(raw, repeats=5)
            begin = time.perf_counter()
            publisher.publish(["model"])
            theirs.send((floor, begin))

    process = multiprocessing.get_context("fork").Process(target=publish)
    process.start()
    ratios, floors = [], []
    for version in range(1, 21):
        ours.send(None)
        while publisher.version < version:
            pass
        publisher.begin_step()
        seen = time.perf_counter()
        publisher.end_step()
        floor, begin = ours.recv()
        floors.append(floor)
        ratios.append((seen - begin) / floor)
    process.join()
    detail = f"raw copy {1e3 * statistics.median(floors):.2f} ms"
    what = "a publication's latency from process to process, 8.4 M parameters / raw copy"
    return Row(what, statistics.median(ratios), "<= 1.5", detail=detail)


def collect_row() -> Row:
    """What one turn costs the agent that hands it over to another process."""
    costs = []
    for shared in (True, False):
        user = DataUser(RingBuffer(4096, 1, FIELDS), shared)
        transition = {name: np.zeros((1, *spec["shape"]), spec["dtype"]) for name, spec in user.buffer.fields.items()}
        costs.append(1e6 * median_seconds(lambda: user.collector.collect(transition), inner=1000))  # noqa: B023
    what = "microseconds to hand over a 64x64x3 picture and six small fields to another process"
    return Row(what, costs[0], "<= 20", costs[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one run")
    parser.add_argument("--repeats", type=int, default=3, help="pairs of runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        collect_row(),
        publication_row(),
        *latency_rows(options.seconds, options.repeats),
        *share_rows(options.seconds, options.repeats),
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()
