"""What streams and events buy on a GPU: `python -m tests.benchmarks.bench_streams`.

The agent's kernels run on a stream of high priority beside training on another, against both on the default
stream; and parameters are published through events, against a publication that waits for the whole device.
`--device cpu` goes the same way without either, to see that the benchmark itself works.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from pamiq_exp.interaction import FixedIntervalInteraction
from pamiq_exp.runtime import LaunchConfig, Publisher, Summary, launch
from tests.benchmarks.launcher_parts import ContinuousTrainer, PixelAgent, PixelModel, PixelWorld
from tests.benchmarks.table import Row, markdown

BATCH = 4096
"""Pictures in a training batch: enough to fill the device for longer than a step of the agent takes."""


def run(seconds: float, device: str, training: bool, separate: bool = True) -> Summary:
    """Launch a pixel agent at 100 turns a second on the device."""
    config = LaunchConfig(max_seconds=seconds, device=device, separate_streams=separate)
    interaction = FixedIntervalInteraction(PixelAgent(device), PixelWorld(), 0.01)
    batch = BATCH if device != "cpu" else 64
    trainers = {"network": ContinuousTrainer(batch, device=device)} if training else {}
    return launch(interaction, {"network": PixelModel()}, {}, trainers, config)


@contextmanager
def device_wide_publications() -> Iterator[None]:
    """The naive way to publish: wait until the device has done everything, before and after the copy."""
    publish = Publisher.publish

    def waiting(self: Publisher, names: Iterable[str], training_step: int | None = None) -> int:
        _synchronize()
        version = publish(self, names, training_step)
        _synchronize()
        return version

    Publisher.publish = waiting  # type: ignore[method-assign]
    try:
        yield
    finally:
        Publisher.publish = publish  # type: ignore[method-assign]


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rows(seconds: float, repeats: int, device: str) -> Iterator[Row]:
    """Steps beside training with and without streams of their own, each against no training."""
    quiet, ours, shared, waiting = [], [], [], []
    for _ in range(repeats):
        quiet.append(run(seconds, device, training=False))
        ours.append(run(seconds, device, training=True))
        shared.append(run(seconds, device, training=True, separate=False))
        with device_wide_publications():
            waiting.append(run(seconds, device, training=True))
    for share, aim in (("p99", "<= 1.2"), ("p999", "<= 2")):
        key = f"step_milliseconds_{share}"
        for naive, runs in (("both on the default stream", shared), ("publication waits for the device", waiting)):
            what = f"{share} of a step on {device}, training / no training; naive: {naive}"
            detail = f"{_median(quiet, key):.2f} ms without, {_median(ours, key):.2f} ms with training"
            yield Row(what, _ratio(ours, quiet, key), aim, _ratio(runs, quiet, key), detail)
    rates = f"{_median(shared, 'training_steps'):.0f} and {_median(ours, 'training_steps'):.0f} batches"
    ratio = _ratio(ours, shared, "training_steps")
    yield Row("training steps with streams of their own / on the default stream", ratio, ">= 0.95", detail=rates)


def _ratio(these: list[Summary], those: list[Summary], key: str) -> float:
    return statistics.median(float(this[key]) / float(that[key]) for this, that in zip(these, those, strict=True))


def _median(runs: list[Summary], key: str) -> float:
    return statistics.median(float(run[key]) for run in runs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one run")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of runs")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the benchmark itself")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("There is no GPU here; --device cpu tries the benchmark itself.")
        return
    print(markdown(list(rows(options.seconds, options.repeats, options.device))))


if __name__ == "__main__":
    main()
