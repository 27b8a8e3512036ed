"""The parts of my_parts, and the shipped experiment of this project."""

from pathlib import Path

import numpy as np
from my_parts import Ring

from pamiq_exp import launch
from pamiq_exp.config import AllowList, Source, build_experiment, compose_config

CONF = str(Path(__file__).resolve().parent.parent / "conf")


def test_ring_counts_the_time_at_its_lamp():
    ring = Ring(num_envs=2, cells=4)
    for _ in range(2):
        ring.affect(np.full((2, 1), 2))  # forward
    assert ring.summary() == {"time_at_lamp": 0.5}


def test_experiment_runs():
    words = ["experiment=ring", "reward=rarity", "tracking=jsonl_only", "launcher.max_steps=400"]
    config = compose_config(words, Source(folder=CONF))
    run = build_experiment(config, AllowList(("my_parts",)))
    summary = launch(run.interaction, run.models, run.buffers, run.trainers, run.launch_config)
    assert summary["steps"] == 400
    assert summary["training_steps"] > 0
