"""A live run on a thread of the test: a random walk through the noise world, without learning."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import NoiseWorld
from pamiq_exp.interaction import FixedIntervalInteraction
from pamiq_exp.jobs.console_socket import ask, serve
from pamiq_exp.metrics import Coverage
from pamiq_exp.runtime import LaunchConfig, RunHandle, launch
from pamiq_exp.spaces import describe_spaces


class LiveWalk:
    """Runs until the context ends."""

    def __init__(self, folder: Path, interval: float = 0.02) -> None:
        self.folder = folder
        self.summary: dict[str, Any] = {}
        self._reachable = threading.Event()
        world = NoiseWorld(image_size=32, num_envs=2)
        spaces = describe_spaces(world.observation_space, world.action_space, world.num_envs)
        agent = RandomAgent(spaces["action"], world.num_envs, seed=0, stickiness=0.9)
        self.interaction = FixedIntervalInteraction(agent, world, interval, {"coverage": Coverage()})
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> LiveWalk:
        self._thread.start()
        assert self._reachable.wait(200.0), "the walk did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            ask(self.folder, "stop")
        self._thread.join(60.0)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        config = LaunchConfig(mode="realtime", max_seconds=300, record_every_steps=10)
        self.summary = launch(
            self.interaction, config=config, folder=self.folder, experiment_name="walk", watch=self._watch
        )

    @contextmanager
    def _watch(self, handle: RunHandle) -> Iterator[None]:
        with serve(handle, self.folder):
            self._reachable.set()
            yield
