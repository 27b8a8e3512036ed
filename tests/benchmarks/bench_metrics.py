"""What the metrics of the noise world cost a run: `python -m tests.benchmarks.bench_metrics`.

One lockstep run of each kind, from agents that think much to one that does not think at all. Metrics are switched
on and off every 20 turns, so that both kinds of turns see the same machine, and what a turn costs is CPU time of its
thread.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from pamiq_exp.config import build_experiment, compose_config
from pamiq_exp.interaction import Interaction
from pamiq_exp.runtime import launch
from tests.benchmarks.table import Row, markdown

BLOCK = 20
"""Turns from one switch to the next."""

FLAGSHIP = "experiment=pamiq2024"
RUNS = (
    ("flagship, world=food", FLAGSHIP, "world=food"),
    ("flagship, world=tvroom", FLAGSHIP, "world=tvroom"),
    ("light agent (agent=curiosity), world=food", FLAGSHIP, "world=food", "agent=curiosity"),
    ("16 environments of the study, arm=random_features", "experiment=curiosity_study", "arm=random_features"),
    ("agent=random, which neither looks nor learns", FLAGSHIP, "world=food", "agent=random"),
)
"""What is run, and the words that say so."""


def alternate(interaction: Interaction) -> list[list[float]]:
    """Let an interaction meet its metrics in every second block of turns, and its recorders always; return the CPU
    seconds of turns without and with metrics, which grow while it runs."""
    observers, step = interaction.observers, interaction.step
    recorders = {name: part for name, part in observers.items() if type(part).__module__.split(".")[1] != "metrics"}
    seconds: list[list[float]] = [[], []]

    def alternating() -> None:
        with_metrics = (len(seconds[0]) + len(seconds[1])) // BLOCK % 2
        interaction.observers = observers if with_metrics else recorders
        begin = time.thread_time()
        step()
        seconds[with_metrics].append(time.thread_time() - begin)

    interaction.step = alternating  # type: ignore[method-assign]
    return seconds


def measure(steps: int, *words: str) -> tuple[float, float, float, int]:
    """Return the mean CPU seconds of a turn without and with metrics, those of the whole run for each turn, and how
    many environments there are."""
    experiment = build_experiment(compose_config([*words, "launcher=lockstep", f"launcher.max_steps={steps}"]))
    seconds = alternate(experiment.interaction)
    begin = time.process_time()
    launch(experiment.interaction, experiment.models, experiment.buffers, experiment.trainers, experiment.launch_config)
    total = time.process_time() - begin
    without, with_metrics = (float(np.mean(part)) for part in seconds)
    return without, with_metrics, total / sum(map(len, seconds)), experiment.interaction.num_envs


def rows(steps: int, measured: Callable[..., tuple[float, float, float, int]] = measure) -> list[Row]:
    """All rows of this benchmark."""
    result = []
    for what, *words in RUNS:
        without, with_metrics, whole, num_envs = measured(steps, *words)
        cost = with_metrics - without
        # Half of the turns had metrics: a run without any would have cost half of that less.
        share = cost / (whole - cost / 2)
        result.append(
            Row(
                f"percent of the run that metrics add, {what}",
                100 * share,
                "<= 5",
                detail=f"{1e6 * cost:.0f} us a turn of {num_envs} environments; a turn {1e6 * without:.0f} us without, "
                f"{1e6 * with_metrics:.0f} us with, {1e6 * whole:.0f} us with training",
            )
        )
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=16_000)
    print(markdown(rows(parser.parse_args().steps)))
