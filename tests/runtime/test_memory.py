"""Freed memory is reused by the next batch."""

import resource
import subprocess
import sys

import pytest

from pamiq_exp.interaction import Interaction
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.runtime.device import make_fabric
from pamiq_exp.trainers import TrainingContext
from tests.benchmarks.launcher_parts import ContinuousTrainer, NoOpAgent, NoOpWorld, PixelModel
from tests.conftest import REPOSITORY


def page_faults_of_a_batch() -> float:
    """Return how many pages a batch takes from the system after a launch, once memory is warm."""
    launch(Interaction(NoOpAgent(), NoOpWorld()), config=LaunchConfig(max_steps=1))
    trainer = ContinuousTrainer()
    trainer.attach(TrainingContext({"network": PixelModel()}, {}, make_fabric("cpu", "32-true")))
    for _ in range(2):
        for _ in trainer.round():
            pass

    before, batches = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, trainer.batches
    for _ in trainer.round():
        pass
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / (trainer.batches - batches)


@pytest.mark.skipif(sys.platform != "linux", reason="the settings of memory are those of glibc, on Linux")
def test_memory_of_a_batch_is_reused_by_the_next() -> None:
    # In a separate process: here memory of earlier tests may be freed while this test counts.
    code = "from tests.runtime.test_memory import page_faults_of_a_batch as count; print(count())"
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert float(ended.stdout.splitlines()[-1]) < 250  # about 2,500 if memory is returned to the system
