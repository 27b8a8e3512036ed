"""A blueprint of small parts, and a run of it on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pamiq_exp.buffers import DataBuffer, RingBuffer
from pamiq_exp.interaction import Environment, FixedIntervalInteraction, Interaction
from pamiq_exp.run_folder import RunFolder
from pamiq_exp.runtime import LaunchConfig, Summary
from pamiq_exp.runtime.cluster.driver import on_cluster
from pamiq_exp.runtime.parts import Parts
from pamiq_exp.seeding import derive_seed
from pamiq_exp.tracking import RunInfo
from tests.runtime.parts import FIELDS, CollectingAgent, NoisyWorld, SmallTrainer, linear_model


@dataclass
class SmallBlueprint:
    """Builds the small parts; `hook(actor, step)` runs in the worlds, `batch_hook` before each batch."""

    launch_config: LaunchConfig
    seed: int = 0
    hook: Callable[[str, int], None] = lambda name, step: None
    batch_hook: Callable[[int], None] | None = None
    interval: float | None = 0.002
    asks_model: bool = True

    def actor_seed(self, name: str) -> int:
        return derive_seed(self.seed, name)

    def build_actor(self, name: str) -> Parts:
        world = NoisyWorld(self.actor_seed(name) % 1000, partial(self.hook, name))
        if self.interval is None:
            return self._parts(Interaction(self._agent(), world))
        return self._parts(FixedIntervalInteraction(self._agent(), world, self.interval))

    def build_learner(self, environment: Environment, actors: int) -> tuple[Parts, Sequence[Mapping[str, DataBuffer]]]:
        parts = self._parts(Interaction(self._agent(), environment))
        return parts, [parts.buffers, *({"experience": RingBuffer(64, 1, FIELDS)} for _ in range(actors - 1))]

    def _agent(self) -> CollectingAgent:
        return CollectingAgent(model="linear" if self.asks_model else None)

    def _parts(self, interaction: Interaction) -> Parts:
        return Parts(
            interaction,
            {"linear": linear_model()},
            {"experience": RingBuffer(64, 1, FIELDS)},
            {"linear": SmallTrainer(self.batch_hook)},
        )


def launch_on_cluster(blueprint: SmallBlueprint, folder: Path, **options: Any) -> Summary:
    config = blueprint.launch_config
    info = RunInfo(folder, "small", "small", blueprint.seed, mode=config.mode, max_steps=config.max_steps)
    with on_cluster(blueprint) as processes:
        return processes.launch(
            config, experiment_name="small", seed=blueprint.seed, folder=RunFolder(folder), trackers={}, run_info=info,
            **options,
        )  # fmt: skip
