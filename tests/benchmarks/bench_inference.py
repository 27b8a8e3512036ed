"""What one step of a small recurrent policy costs, eager and traced: `python -m tests.benchmarks.bench_inference`."""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import gymnasium
import torch
from lightning import LightningModule
from torch import nn

from pamiq_exp.models import RecurrentPolicyValue
from pamiq_exp.models.cores import RecurrentCore, SioConv
from pamiq_exp.runtime import Publisher
from pamiq_exp.spaces import describe_action
from tests.benchmarks.table import Row, markdown

INPUTS = {"latent": {"shape": [128], "dtype": "float32"}}


class Policy(LightningModule):
    """A recurrent policy of the size of the shipped ones, on latent vectors."""

    def __init__(self) -> None:
        super().__init__()
        core = RecurrentCore(partial(SioConv, heads=4), 128, depth=2)
        self.network = RecurrentPolicyValue(INPUTS, describe_action(gymnasium.spaces.Discrete(5)), core)

    def inference_module(self) -> nn.Module:
        return self.network


def cpu_seconds(publisher: Publisher, num_envs: int, steps: int) -> float:
    """CPU seconds of one step."""
    port = publisher.inference_models()["policy"]
    fields, state = {"latent": torch.randn(num_envs, 128)}, port.module.initial_state(num_envs)
    generator = torch.Generator()
    with torch.no_grad():
        for _ in range(10):
            port.module.step(fields, state, generator)
        begin = time.process_time()
        for _ in range(steps):
            publisher.begin_step()
            port.module.step(fields, state, generator)
            publisher.end_step()
    return (time.process_time() - begin) / steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300, help="steps of one measurement")
    parser.add_argument("--repeats", type=int, default=7, help="pairs of measurements")
    parser.add_argument("--compiled", action="store_true", help="torch.compile instead of a trace")
    options = parser.parse_args()
    torch.set_num_threads(1)
    way = "compiled" if options.compiled else "traced"
    model = Policy()
    size = sum(parameter.numel() for parameter in model.parameters())
    publishers = {each: Publisher({"policy": model}, inference=each) for each in ("eager", way)}  # type: ignore[arg-type]
    rows = []
    for num_envs in (1, 4):
        found: dict[str, list[float]] = {each: [] for each in publishers}
        for _ in range(options.repeats):
            for each, publisher in publishers.items():
                found[each].append(cpu_seconds(publisher, num_envs, options.steps))
        ratio = statistics.median(b / a for a, b in zip(found["eager"], found[way], strict=True))
        medians = {each: 1e6 * statistics.median(seconds) for each, seconds in found.items()}
        detail = ", ".join(f"{each} {value:.0f} us" for each, value in medians.items())
        what = f"CPU time of a policy's step, {way} / eager, {size:,} parameters, {num_envs} environments"
        rows.append(Row(what, ratio, "<= 0.4", detail=detail))
    print(markdown(rows))
    print(publishers[way].inference_notes)


if __name__ == "__main__":
    main()
