"""How plastic a learned network still is: dormant units, effective rank, norms."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from pamiq_exp.component import State
from pamiq_exp.every import Every
from pamiq_exp.interaction import Agent, Array, StepObserver, Turn
from pamiq_exp.plasticity import DORMANT, effective_rank, fitting_loss, norm, recorded_units, unit_scores
from pamiq_exp.seeding import torch_generator


class Plasticity(StepObserver):
    """Every so often, feeds the newest observations to a published model and reports how it responds.

    Reports `dormant_share` and `dead_share` (units whose score is at most 0.025, and 0), `effective_rank` and
    `feature_norm` of the last hidden layer, and `weight_norm` of the model. The gradient's norm is reported by the
    trainer. With `probe_steps`, also `probe_loss` and `probe_loss_fresh`: how well what reads the inputs, and the same
    with its initial parameters, fit new random targets; the environment waits meanwhile. See `pamiq_exp.plasticity` for
    formulas and sources.

    Args:
        model: Name of the model: a policy that reads observations, called with their fields.
        every_steps: Environment steps from one measurement to the next.
        samples: Observations that are kept for it, of all environments together.
        probe_steps: Steps of training of the plasticity probe; 0 leaves it out.
        seed: Of its targets.
    """

    def __init__(
        self, model: str = "policy", every_steps: int = 10_000, samples: int = 512, probe_steps: int = 0, seed: int = 0
    ) -> None:
        if every_steps < 1 or samples < 2:
            raise ValueError("every_steps must be at least 1 and samples at least 2")
        self._model, self._samples = model, samples
        self._probe_steps = probe_steps
        self._generator = torch_generator(seed)
        self._initial: nn.Module | None = None
        self._steps = 0
        self._due = Every(every_steps)
        self._newest: deque[Mapping[str, Array]] = deque()
        self._metrics: dict[str, float] = {}

    def attach(self, agent: Agent[Any, Any]) -> None:
        """See the base class: keeps the initial parameters for the probe. Raises TypeError for no module of torch."""
        module = agent.model(self._model).module
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"metrics=plasticity looks into modules of torch, and the model '{self._model}' is a "
                f"{type(module).__name__} for inference: leave it out"
            )
        if self._probe_steps:
            self._initial = copy.deepcopy(_reader(module))

    def on_step(self, turn: Turn) -> None:
        num_envs = len(turn.observation.reward)
        self._steps += num_envs
        self._newest.append(turn.observation.values)
        if len(self._newest) * num_envs > self._samples + num_envs:
            self._newest.popleft()
        if self._due.due(self._steps):
            self._due.done(self._steps)
            self._metrics = self._measure(turn)

    def _measure(self, turn: Turn) -> dict[str, float]:
        module = turn.agent.model(self._model).module
        device = next((tensor.device for tensor in module.state_dict().values()), torch.device("cpu"))
        columns = {name: np.concatenate([values[name] for values in self._newest]) for name in self._newest[0]}
        fields = {f"observation.{name}": torch.from_numpy(column).to(device) for name, column in columns.items()}
        with torch.no_grad(), recorded_units(module) as units:
            _reader(module)(fields)
        metrics = {"weight_norm": norm(module.parameters())}
        if units:
            scores = torch.cat([unit_scores(outputs) for outputs in units.values()])
            features = list(units.values())[-1].flatten(1)
            metrics |= {
                "dormant_share": float((scores <= DORMANT).double().mean()),
                "dead_share": float((scores == 0).double().mean()),
                "effective_rank": float(effective_rank(features)),
                "feature_norm": float(features.double().norm(dim=1).mean()),
            }
        if self._initial is not None:
            targets = torch.randn(len(next(iter(fields.values()))), generator=self._generator).to(device)
            for name, part in (("probe_loss", _reader(module)), ("probe_loss_fresh", self._initial)):
                metrics[name] = fitting_loss(part, fields, targets, self._probe_steps, self._generator)
        return metrics

    def report(self) -> dict[str, float]:
        return dict(self._metrics)

    def state(self) -> State:
        newest = [dict(values) for values in self._newest]
        initial = {} if self._initial is None else self._initial.state_dict()
        return {
            "steps": self._steps, "due": self._due.next, "newest": newest, "metrics": dict(self._metrics),
            "initial": dict(initial),
        }  # fmt: skip

    def load_state(self, state: State) -> None:
        self._steps, self._due.next = int(state["steps"]), state["due"]
        self._newest = deque({name: np.array(value) for name, value in values.items()} for values in state["newest"])
        self._metrics = {name: float(value) for name, value in state["metrics"].items()}
        if self._initial is not None and state["initial"]:
            self._initial.load_state_dict(state["initial"])


def _reader(module: nn.Module) -> nn.Module:
    """Return the part of a policy that reads its inputs."""
    body = getattr(module, "body", module)
    return body if isinstance(body, nn.Module) else module
