"""Models without a launcher, and streams of vectors whose future is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.rewards import Reward, Transition
from pamiq_exp.spaces import ActionSpec, ArraySpec

ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [3]}
NUMBERS = 32
"""Numbers in one vector of the synthetic worlds."""
OBSERVATION: dict[str, ArraySpec] = {"vector": {"shape": [NUMBERS], "dtype": "float32"}}
NUM_ENVS = 64
FIELD = "observation.vector"


class Published:
    """A published model without a launcher."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, *args: Any) -> Any:
        return self.module(*args)


Stream = Iterator[Tensor]
"""Vectors of all environments, `(num_envs, numbers)`, one after another."""


def images(count: int, seed: int = 7) -> Tensor:
    return torch.randn(count, NUMBERS, generator=torch.Generator().manual_seed(seed))


def white(seed: int = 0) -> Stream:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(NUM_ENVS, NUMBERS, generator=generator)


def flicker(bank: Tensor, seed: int = 0) -> Stream:
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield bank[torch.randint(len(bank), (NUM_ENVS,), generator=generator)]


def blackout() -> Stream:
    while True:
        yield torch.full((NUM_ENVS, NUMBERS), 0.3)


def cycle(bank: Tensor) -> Stream:
    now = torch.arange(NUM_ENVS) % len(bank)
    while True:
        yield bank[now]
        now = (now + 1) % len(bank)


def bank_variance(bank: Tensor) -> float:
    """The prediction error that remains if the bank is known, but not the draw."""
    return float((bank - bank.mean(0)).square().mean())


def transition(before: Tensor, now: Tensor, action: Tensor | None = None, valid: Any = None) -> Transition:
    num_envs = len(now)
    return Transition(
        observation={FIELD: now},
        latent=before,
        action=torch.zeros(num_envs, 1, dtype=torch.int64) if action is None else action,
        next_latent=now,
        environment_reward=np.zeros(num_envs, dtype=np.float32),
        valid=np.ones(num_envs, dtype=np.bool_) if valid is None else np.array(valid),
        previous_observation={FIELD: before},
    )


class Learner:
    """Trains one module by hand, as the driver would."""

    def __init__(self, module: LightningModule, learning_rate: float = 1e-3) -> None:
        self.module = module.train()
        module.log = module.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=learning_rate)

    def train(self, batch: dict[str, Tensor]) -> None:
        loss = self.module.training_step(batch, 0)
        if loss is not None:
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        hook = getattr(self.module, "on_train_batch_end", None)
        if callable(hook):
            hook(None, batch, 0)


def pair_batch(step: Transition) -> dict[str, Tensor]:
    """The transition just seen, as sequences of two."""
    assert step.latent is not None
    assert step.next_latent is not None
    action = step.action[:, None].expand(-1, 2, -1)
    ended = torch.zeros(len(action), 2, dtype=torch.bool)
    return {"latent": torch.stack([step.latent, step.next_latent], 1), "action": action, "ended": ended}


@dataclass
class RewardRun:
    """A reward on a stream, and models that learn from each transition after its reward is computed."""

    reward: Reward
    learn: Callable[[Transition], None]

    def rewards_on(self, stream: Stream, turns: int) -> np.ndarray:
        """Return the raw rewards, averaged over the environments, `(turns,)`."""
        means = []
        before = next(stream)
        for _ in range(turns):
            now = next(stream)
            step = transition(before, now)
            with torch.no_grad():
                raw = self.reward.compute(step)
            means.append(np.nan if raw is None else float(raw.mean()))
            self.learn(step)
            before = now
        return np.array(means)
