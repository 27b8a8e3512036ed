"""What data, publications and checkpoints cost: `python -m tests.benchmarks.bench_data`."""

from __future__ import annotations

import argparse
import logging
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.interaction import FixedIntervalInteraction
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig, Publisher, launch
from tests.benchmarks.launcher_parts import ContinuousTrainer, PixelAgent, PixelModel, PixelWorld
from tests.benchmarks.table import Row, markdown, median_seconds

FIELDS = {
    "observation": {"image": {"shape": [64, 64, 3], "dtype": "uint8"}},
    "action": {"shape": [5], "dtype": "int64"},
    "log_prob": {"shape": [], "dtype": "float32"},
    "value": {"shape": [], "dtype": "float32"},
    "reward": {"shape": [], "dtype": "float32"},
    "terminated": {"shape": [], "dtype": "bool"},
    "latent": {"shape": [128], "dtype": "float32"},
}


class Layers(LightningModule):
    """`count` square matrices of `width`."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList([torch.zeros(width, width) for _ in range(count)])


def collect_rows() -> Iterator[Row]:
    """What one turn costs the agent that hands it over."""
    user = DataUser(RingBuffer(4096, 1, FIELDS))
    record = {name: np.zeros((1, *spec["shape"]), spec["dtype"]) for name, spec in user.buffer.fields.items()}

    def collect() -> None:
        user.collector.collect(record)

    seconds = median_seconds(collect, inner=1000)
    yield Row("microseconds to collect a 64x64x3 picture and six small fields", 1e6 * seconds, "<= 8")


def sample_rows() -> Iterator[Row]:
    """Sequences against the bare memory operation that they cannot do without."""
    user = DataUser(RingBuffer(20_000, 1, FIELDS))
    record = {name: np.zeros((1, *spec["shape"]), spec["dtype"]) for name, spec in user.buffer.fields.items()}
    for _ in range(20_000):
        user.collector.collect(record)
        if user.collector.turn % 1000 == 0:
            user.update()
    generator = torch.Generator().manual_seed(0)
    columns = [column.flatten(0, 1) for column in user.buffer._columns.values()]
    index = (torch.randint(20_000 - 16, (256, 1)) + torch.arange(16)).flatten()
    ratios = []
    for _ in range(5):
        raw = median_seconds(lambda: [column.index_select(0, index) for column in columns], repeats=10)
        ratios.append(median_seconds(lambda: user.sequences(256, 16, generator), repeats=10) / raw)
    detail = f"raw {1e3 * raw:.1f} ms"
    yield Row("sample 256 sequences of 16 turns / raw index_select", statistics.median(ratios), "<= 1.3", detail=detail)


def publication_rows() -> Iterator[Row]:
    """Publications on both sides."""
    for count, width, aim in ((200, 45, "<= 1.3"), (8, 2896, "<= 1.1")):
        model = Layers(count, width)
        publisher = Publisher({"model": model})
        sources, targets = list(model.parameters()), [torch.zeros_like(weight) for weight in model.parameters()]

        def raw(targets: list[torch.Tensor] = targets, sources: list[nn.Parameter] = sources) -> None:
            with torch.no_grad():
                torch._foreach_copy_(targets, sources)

        inner = 20 if width < 100 else 1
        ratios = []
        for _ in range(7):
            floor = median_seconds(raw, repeats=10, inner=inner)
            ratios.append(median_seconds(lambda: publisher.publish(["model"]), repeats=10, inner=inner) / floor)  # noqa: B023
        naive_target = Layers(count, width)
        naive = median_seconds(lambda: naive_target.load_state_dict(model.state_dict()), repeats=10) / floor  # noqa: B023
        what = f"publication of {count} tensors, {count * width * width / 1e6:.1f} M parameters / raw foreach copy"
        yield Row(what, statistics.median(ratios), aim, naive, f"raw {1e3 * floor:.3f} ms")
    for count, width in ((4, 158), (16, 724), (8, 2896)):
        yield _seen_by_the_step(count, width)


def _seen_by_the_step(count: int, width: int) -> Row:
    """What a publication adds to the step that uses its result: pin, look up, let go."""
    publisher = Publisher({"model": Layers(count, width)})
    port = publisher.inference_models()["model"]

    def step() -> None:
        publisher.begin_step()
        port.module  # noqa: B018
        publisher.end_step()

    seconds = median_seconds(step, inner=1000)
    size = count * width * width / 1e6
    return Row(f"microseconds that publishing {size:.1f} M parameters adds to a step", 1e6 * seconds, "<= 5")


def checkpoint_rows() -> Iterator[Row]:
    """The longest gap between steps while a large buffer is saved and a long round is under way."""
    what = "longest gap between steps at 100 Hz while 500 MB are saved and a 1.5 s round runs, in periods"
    ours = statistics.median(_longest_gap(naive=False) for _ in range(3))
    yield Row(what, ours, "<= 2", _longest_gap(naive=True))


def _longest_gap(naive: bool, period: float = 0.01) -> float:
    starts: list[float] = []

    class TimedWorld(PixelWorld):
        def affect(self, action: np.ndarray) -> None:
            starts.append(time.perf_counter())
            super().affect(action)

    turns = 500_000_000 // (64 * 64 * 3)
    buffer = RingBuffer(turns, 1, {"image": FIELDS["observation"]["image"]})
    buffer.append({"image": np.ones((turns, 1, 64, 64, 3), np.uint8)}, 0)
    interaction = FixedIntervalInteraction(PixelAgent(), TimedWorld(), period)
    config = LaunchConfig(
        max_seconds=12.0,
        checkpoint=CheckpointConfig(every_seconds=4.0, keep=1, at_end=False),
        switch_interval=0.005 if naive else LaunchConfig.switch_interval,
    )
    with tempfile.TemporaryDirectory() as folder:
        stopper = _StopTheWorld(folder, buffer, interaction) if naive else None
        launch(
            interaction,
            {"network": PixelModel()},
            {"experience": buffer},
            {"network": LongRoundTrainer()},
            config,
            folder=None if naive else folder,
        )
        if stopper is not None:
            stopper.join()
    return float(np.diff(starts[50:]).max()) / period


class LongRoundTrainer(ContinuousTrainer):
    """One round of about 1.5 s after another."""

    def round(self) -> Iterator[Mapping[str, float]]:
        begin = time.perf_counter()
        while time.perf_counter() - begin < 1.5:
            yield from super().round()


class _StopTheWorld(threading.Thread):
    """The naive way: hold the world's step while everything is written with torch.save."""

    def __init__(self, folder: str, buffer: RingBuffer, interaction: FixedIntervalInteraction) -> None:
        super().__init__()
        lock = threading.Lock()
        step = interaction.step

        def locked_step() -> None:
            with lock:
                step()

        interaction.step = locked_step  # type: ignore[method-assign]
        self._lock, self._folder, self._buffer = lock, Path(folder), buffer
        self.start()

    def run(self) -> None:
        time.sleep(4.0)
        with self._lock:
            torch.save(self._buffer.state(), self._folder / "naive.pt")


MEMORY = """
import re, sys
from pathlib import Path
from pamiq_exp.runtime import LaunchConfig
from tests.runtime.parts import CollectingAgent, launch_small
config = LaunchConfig(mode="lockstep", max_steps=int(sys.argv[1]), record_every_steps=1000)
launch_small(config, agent=CollectingAgent(model=None), folder=sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def memory_rows(steps: int) -> Iterator[Row]:
    """Peak memory of a long run against a tenth of it."""
    peaks = []
    for number in (steps // 10, steps):
        with tempfile.TemporaryDirectory() as folder:
            output = subprocess.run(
                [sys.executable, "-c", MEMORY, str(number), folder], capture_output=True, text=True, check=True
            )
        peaks.append(float(output.stdout.split()[-1]))
    detail = f"{peaks[1] / 1024:.0f} and {peaks[0] / 1024:.0f} MB at the peak"
    yield Row(
        f"memory after {steps:,} lockstep steps / after {steps // 10:,}", peaks[1] / peaks[0], "<= 1.01", detail=detail
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory-steps", type=int, default=1_000_000, help="length of the long run")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    rows = [
        *collect_rows(), *sample_rows(), *publication_rows(), *checkpoint_rows(), *memory_rows(options.memory_steps)
    ]  # fmt: skip
    print(markdown(rows))


if __name__ == "__main__":
    main()
