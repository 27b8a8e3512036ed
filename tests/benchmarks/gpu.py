"""Everything that needs a GPU, in one go: `make bench-gpu`, or `python -m tests.benchmarks.gpu`.

It tests the scan for a GPU against a loop, and measures steps of an agent beside training with streams of their own
(`bench_streams`), and the batched renderer of the noise world beside the compiled one of the CPU. It needs a GPU of
NVIDIA's, torch built for it, and Triton, which comes along with that; about four minutes. Without a GPU it says so and
ends. `--device cpu` goes the same way on the CPU, to see that the script itself works.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from pamiq_exp.environments import NoiseWorld
from tests.benchmarks import bench_streams
from tests.benchmarks.table import Row, markdown


def missing() -> str | None:
    """What this machine lacks; None if all is there."""
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU here: it needs one of NVIDIA's, its driver, and torch for CUDA"
    return None if find_spec("triton") else "Triton is not installed; it comes with torch for CUDA"


def scan_status() -> int:
    """Test the scan on the GPU; return pytest's exit status."""
    return int(pytest.main(["-q", "-m", "slow", "-p", "no:cacheprovider", "tests/scan/test_gpu.py"]))


def renderer_rows(device: str, sizes: Sequence[int], turns: int) -> Iterator[Row]:
    """Pictures per second of the batched renderer, and of the compiled one on one thread."""
    for num_envs in sizes:
        batched = pictures_per_second("torch", device, num_envs, turns)
        compiled = pictures_per_second("numba", "cpu", num_envs, turns)
        detail = f"{batched:,.0f} pictures a second on {device}, {compiled:,.0f} compiled"
        what = f"batched renderer / compiled one, 64x64, {num_envs} environments"
        yield Row(what, batched / compiled, ">= 1", detail=detail)


def pictures_per_second(renderer: str, device: str, num_envs: int, turns: int) -> float:
    """Observed pictures per wall second, as the median of the turns after the first two."""
    world = NoiseWorld(renderer=renderer, device=device, num_envs=num_envs, seed=0)
    world.setup()
    action = np.zeros((num_envs, *world.action_space.shape), np.int64)
    seconds = []
    try:
        for _ in range(turns + 2):
            begin = time.perf_counter()
            world.observe()  # the picture is on the CPU afterwards
            seconds.append(time.perf_counter() - begin)
            world.affect(action)
    finally:
        world.teardown()
    return num_envs / statistics.median(seconds[2:])


def main() -> int:
    """Run everything; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script itself")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of one run beside training")
    parser.add_argument("--repeats", type=int, default=3, help="rounds of runs beside training")
    parser.add_argument("--environments", type=int, nargs="+", default=[16, 256, 4096])
    parser.add_argument("--turns", type=int, default=50, help="of each renderer")
    options = parser.parse_args()
    if options.device != "cpu" and (lack := missing()) is not None:
        print(f"Nothing was measured. {lack}.")
        return 0
    rows = [
        *bench_streams.rows(options.seconds, options.repeats, options.device),
        *renderer_rows(options.device, options.environments, options.turns),
    ]
    print(markdown(rows))
    return scan_status() if options.device != "cpu" else 0


if __name__ == "__main__":
    sys.exit(main())
