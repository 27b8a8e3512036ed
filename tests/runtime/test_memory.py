"""Freed memory is kept for the next batch."""

import resource
import sys

import pytest

from pamiq_exp.interaction import Interaction
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.runtime.device import make_fabric
from pamiq_exp.trainers import TrainingContext
from tests.benchmarks.launcher_parts import ContinuousTrainer, NoOpAgent, NoOpWorld, PixelModel


@pytest.mark.skipif(sys.platform != "linux", reason="keeping memory is asked of glibc, which is Linux's")
def test_after_a_launch_batches_reuse_the_memory_of_those_before() -> None:
    launch(Interaction(NoOpAgent(), NoOpWorld()), config=LaunchConfig(max_steps=1))
    trainer = ContinuousTrainer()
    trainer.attach(TrainingContext({"network": PixelModel()}, {}, make_fabric("cpu", "32-true")))
    for _ in range(2):
        for _ in trainer.round():
            pass

    before, batches = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, trainer.batches
    for _ in trainer.round():
        pass

    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults / (trainer.batches - batches) < 250  # of some 2,500 where memory is given back
