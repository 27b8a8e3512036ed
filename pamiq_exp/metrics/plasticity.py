"""How plastic a learned network still is: dormant units, effective rank, norms."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import torch

from pamiq_exp.component import State
from pamiq_exp.every import Every
from pamiq_exp.interaction import Array, StepObserver, Turn
from pamiq_exp.plasticity import DORMANT, effective_rank, norm, recorded_units, unit_scores


class Plasticity(StepObserver):
    """Every so often, feeds the newest observations to a published model and reports how it responds.

    Reports `dormant_share` and `dead_share` (units whose score is at most 0.025, and 0), `effective_rank` and
    `feature_norm` of the last hidden layer, and `weight_norm` of the model. The gradient's norm is reported by the
    trainer. See `pamiq_exp.plasticity` for formulas and sources.

    Args:
        model: Name of the model: a policy that reads observations, called with their fields.
        every_steps: Environment steps from one measurement to the next.
        samples: Observations that are kept for it, of all environments together.
    """

    def __init__(self, model: str = "policy", every_steps: int = 10_000, samples: int = 512) -> None:
        if every_steps < 1 or samples < 2:
            raise ValueError("every_steps must be at least 1 and samples at least 2")
        self._model, self._samples = model, samples
        self._steps = 0
        self._due = Every(every_steps)
        self._newest: deque[Mapping[str, Array]] = deque()
        self._metrics: dict[str, float] = {}

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
            getattr(module, "body", module)(fields)  # of a policy, what reads its inputs
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
        return metrics

    def report(self) -> dict[str, float]:
        return dict(self._metrics)

    def state(self) -> State:
        newest = [dict(values) for values in self._newest]
        return {"steps": self._steps, "due": self._due.next, "newest": newest, "metrics": dict(self._metrics)}

    def load_state(self, state: State) -> None:
        self._steps, self._due.next = int(state["steps"]), state["due"]
        self._newest = deque({name: np.array(value) for name, value in values.items()} for values in state["newest"])
        self._metrics = {name: float(value) for name, value in state["metrics"].items()}
