"""A run on a Ray cluster: what it records and saves, and what it does when a process or a machine is lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pamiq_exp.buffers import DataBuffer, RingBuffer
from pamiq_exp.interaction import Environment, FixedIntervalInteraction, Interaction
from pamiq_exp.run_folder import RunFolder, list_checkpoints
from pamiq_exp.runtime import LaunchConfig, Summary
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.parts import Parts
from pamiq_exp.seeding import derive_seed
from pamiq_exp.tracking import RunInfo
from tests.runtime.parts import FIELDS, CollectingAgent, NoisyWorld, SmallTrainer, linear_model

pytest.importorskip("ray", reason="Ray is not installed: pip install 'pamiq_exp[ray]'")


@dataclass
class SmallBlueprint:
    """Builds the small parts; `hook` runs in the worlds, `batch_hook` before each batch."""

    launch_config: LaunchConfig
    seed: int = 0
    hook: Callable[[int], None] | None = None
    batch_hook: Callable[[int], None] | None = None

    def actor_seed(self, name: str) -> int:
        return derive_seed(self.seed, name)

    def build_actor(self, name: str) -> Parts:
        world = NoisyWorld(self.actor_seed(name) % 1000, self.hook)
        return self._parts(FixedIntervalInteraction(CollectingAgent(), world, 0.002))

    def build_learner(self, environment: Environment, actors: int) -> tuple[Parts, Sequence[Mapping[str, DataBuffer]]]:
        parts = self._parts(Interaction(CollectingAgent(), environment))
        return parts, [parts.buffers, *({"experience": RingBuffer(64, 1, FIELDS)} for _ in range(actors - 1))]

    def _parts(self, interaction: Interaction) -> Parts:
        return Parts(
            interaction,
            {"linear": linear_model()},
            {"experience": RingBuffer(64, 1, FIELDS)},
            {"linear": SmallTrainer(self.batch_hook)},
        )


def launch_on_cluster(blueprint: SmallBlueprint, folder: Path, **options: Any) -> Summary:
    from pamiq_exp.runtime.cluster.driver import on_cluster

    config = blueprint.launch_config
    info = RunInfo(folder, "small", "small", blueprint.seed, mode=config.mode, max_steps=config.max_steps)
    with on_cluster(blueprint) as processes:
        return processes.launch(
            config, experiment_name="small", seed=blueprint.seed, folder=RunFolder(folder), trackers={}, run_info=info,
            **options,
        )  # fmt: skip


def records(folder: Path, source: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["source"] == source]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Nothing of Ray is left afterwards: no process, no shared memory."""
    before = set(os.listdir("/dev/shm"))
    yield
    deadline = time.monotonic() + 10.0
    while (left := rays_children()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == {}
    assert {name for name in os.listdir("/dev/shm") if name.startswith("plasma")} <= before


def rays_children() -> dict[int, str]:
    """The command lines of this process's descendants that belong to Ray, by number."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")

    def is_ours(number: int) -> bool:
        parent = parents.get(number, 0)
        return parent == os.getpid() or (parent > 1 and is_ours(parent))

    return {number: line for number, line in lines.items() if "ray" in line and is_ours(number)}


def test_cluster_actors_feed_a_learner_and_the_run_resumes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = LaunchConfig(learner="ray", cluster="local", actors=2, max_steps=400, record_every_steps=50)
    summary = launch_on_cluster(SmallBlueprint(config), folder)
    assert 400 <= float(summary["steps"]) < 800
    assert float(summary["model_version"]) > 1
    assert summary["restarts"] == 0
    assert summary["dropped"] == 0
    found = records(folder, "interaction")
    assert {record["actor"] for record in found} == {0, 1}
    assert all(record["staleness"] >= 0 for record in found)
    assert len({record["model_version"] for record in found}) > 1
    learned = records(folder, "linear")
    assert [record["training_step"] for record in learned] == [3 * index for index in range(1, len(learned) + 1)]
    (checkpoint,) = list_checkpoints(folder / "checkpoints")
    groups = read_checkpoint(checkpoint)
    steps = [groups["interaction"][f"environment.actors.{index}"]["runtime"]["steps"] for index in (0, 1)]
    assert sum(steps) == summary["steps"] == groups["runtime"]["steps"]
    added = [groups["buffers"][f"buffers.experience.users.{index}"]["count_added"] for index in (0, 1)]
    assert added == steps  # no turn was lost on its way
