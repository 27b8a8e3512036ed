"""Small real parts to launch: a world that counts, an agent that collects, a model that learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from lightning import LightningModule

from pamiq_exp.buffers import DataUser, RingBuffer
from pamiq_exp.interaction import Agent, Environment, FixedIntervalInteraction, Interaction, Observation, continual
from pamiq_exp.runtime import LaunchConfig, Summary, launch
from pamiq_exp.seeding import numpy_generator, torch_generator
from pamiq_exp.trainers import Trainer, TrainingContext

FIELDS = {"observation": {"vector": {"shape": [3], "dtype": "float32"}}}


class NoisyWorld(Environment):
    """Shows its step number and noise from its own generator; `hook` runs in `affect`."""

    observation_space = gymnasium.spaces.Dict({"vector": gymnasium.spaces.Box(-10, 10, (3,))})
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, seed: int = 0, hook: Callable[[int], None] | None = None) -> None:
        self.generator = numpy_generator(seed)
        self.step_number = 0
        self.hook = hook
        self.calls: list[str] = []

    def setup(self) -> None:
        self.calls.append("setup")

    def teardown(self) -> None:
        self.calls.append("teardown")

    def on_pause(self) -> None:
        self.calls.append("pause")

    def on_resume(self) -> None:
        self.calls.append("resume")

    def observe(self) -> Observation:
        return continual({"vector": self.generator.standard_normal((1, 3)).astype(np.float32)})

    def affect(self, action: np.ndarray) -> None:
        self.step_number += 1
        if self.hook is not None:
            self.hook(self.step_number)

    def state(self) -> dict[str, Any]:
        return {"step_number": self.step_number}

    def load_state(self, state: dict[str, Any]) -> None:
        self.step_number = state["step_number"]


class CollectingAgent(Agent[Observation, np.ndarray]):
    """Calls the model, draws an action from its own generator, and collects the observation."""

    def __init__(self, seed: int = 1, model: str | None = "linear", buffer: str | None = "experience") -> None:
        super().__init__()
        self.generator = torch_generator(seed)
        self.model_name, self.buffer_name = model, buffer
        self.output = 0.0
        self.versions: list[int] = []

    def step(self, observation: Observation) -> np.ndarray:
        if self.model_name is not None:
            port = self.model(self.model_name)
            self.output = float(port(torch.from_numpy(observation.values["vector"])).sum())
            self.versions.append(port.version)
        if self.buffer_name is not None:
            self.collector(self.buffer_name).collect({"observation.vector": observation.values["vector"]})
        return torch.randint(2, (1, 1), generator=self.generator).numpy()

    def report(self) -> dict[str, float]:
        return {"output": self.output}

    def summary(self) -> dict[str, float]:
        return {"last_output": self.output}


class LinearModel(LightningModule):
    """Dropout from the global generator, and a buffer that is rebound while it trains."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)
        self.dropout = torch.nn.Dropout(0.5)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.dropout(x)) + self.mean


class SmallTrainer(Trainer):
    """Three batches for every ten new environment steps; `hook` runs before each batch."""

    def __init__(self, hook: Callable[[int], None] | None = None, seed: int = 2) -> None:
        self.trains = ("linear",)
        self.generator = torch_generator(seed)
        self.batches = 0
        self.seen = 0
        self.hook = hook

    def attach(self, context: TrainingContext) -> None:
        self.module = context.models["linear"]
        self.user: DataUser = context.users["experience"]
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-2)

    def ready(self) -> bool:
        return self.user.count_added - self.seen >= 10

    def round(self) -> Iterator[Mapping[str, float]]:
        self.seen = self.user.count_added
        for _ in range(3):
            if self.hook is not None:
                self.hook(self.batches)
            x = self.user.sample(8, self.generator)["observation.vector"]
            loss = self.module(x).pow(2).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.module.mean = self.module.mean * 0.9 + 0.1 * x.mean(0)
            self.batches += 1
            yield {"loss": loss.item()}

    @property
    def training_step(self) -> int:
        return self.batches

    def state(self) -> dict[str, Any]:
        return {"batches": self.batches, "seen": self.seen, "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.batches, self.seen = state["batches"], state["seen"]
        self.optimizer.load_state_dict(state["optimizer"])


def linear_model(seed: int = 3) -> LinearModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LinearModel()


def launch_small(
    config: LaunchConfig,
    *,
    world: NoisyWorld | None = None,
    agent: CollectingAgent | None = None,
    trainer: Trainer | None = None,
    model: LightningModule | None = None,
    interval: float | None = 0.01,
    **options: Any,
) -> Summary:
    """Launch the parts above, any of them replaced."""
    world, agent = world or NoisyWorld(), agent or CollectingAgent()
    interaction = Interaction(agent, world) if interval is None else FixedIntervalInteraction(agent, world, interval)
    return launch(
        interaction,
        {"linear": model or linear_model()},
        {"experience": RingBuffer(64, 1, FIELDS)},
        {"linear": trainer or SmallTrainer()},
        config,
        **options,
    )
