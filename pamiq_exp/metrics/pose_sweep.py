"""Looking through an agent's encoder at poses that stay the same for the whole run."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.component import State
from pamiq_exp.interaction import Array, StepObserver, Turn

logger = logging.getLogger(__name__)

Numbers = NDArray[np.float64]


class EncoderLike(Protocol):
    """What a model must offer: `ready` says whether its latents mean something yet, `settled` that they will never
    change again."""

    ready: bool
    settled: bool

    def encode(self, batch: dict[str, Tensor]) -> Tensor:
        """Return `(n, features)` for `observation.*` fields."""


class PoseSweep(StepObserver):
    """Base class of metrics that look at fixed poses, a few in each turn, so that no turn takes long.

    A sweep over all poses begins every `every_steps` environment steps, the first one as soon as the agent's
    encoder is ready; when it is over, `finish` works out the figures. Where poses cannot be had, or the
    agent has no such encoder, nothing is reported.

    Args:
        poses: What `pamiq_exp.interaction.record_at_poses` returns.
        encoder: Name of the agent's encoder.
        every_steps: Environment steps from the start of one sweep to that of the next.
        poses_per_turn: Poses looked at in one turn.
    """

    title: str

    def __init__(
        self, poses: Mapping[str, Array], encoder: str = "encoder", every_steps: int = 10_000, poses_per_turn: int = 16
    ) -> None:
        if every_steps < 1 or poses_per_turn < 1:
            raise ValueError("every_steps and poses_per_turn must be at least 1")
        self._poses = {name: np.asarray(column) for name, column in poses.items()}
        self._count = len(self._poses.get("pose", ()))
        self._encoder_name = encoder
        self._every, self._share = every_steps, poses_per_turn
        self._steps = 0
        self._due = 0
        self._next: int | None = None
        self._columns: dict[str, list[Array]] = {}
        self._blind = self._count == 0
        self._figures: dict[str, float] = {}
        self._kept: dict[int, dict[str, Tensor]] = {}

    @abstractmethod
    def encode(self, encoder: EncoderLike, first: int, last: int) -> dict[str, Tensor]:
        """Return what the encoder makes of the poses from `first` to `last - 1`, each `(last - first, ...)`."""

    @abstractmethod
    def look(self, turn: Turn, encoded: Mapping[str, Tensor], first: int, last: int) -> dict[str, Array]:
        """Return what the poses from `first` to `last - 1` give, each `(last - first, ...)`, from `encode`."""

    @abstractmethod
    def finish(self, columns: Mapping[str, Array]) -> dict[str, float]:
        """Return the figures of a whole sweep from what `look` returned for all poses."""

    def on_step(self, turn: Turn) -> None:
        self._steps += len(turn.observation.reward)
        if self._blind or (self._next is None and self._steps < self._due):
            return
        encoder = self._encoder(turn)
        if encoder is None or not encoder.ready:
            return
        if self._next is None:
            self._next, self._columns, self._due = 0, {}, (self._steps // self._every + 1) * self._every
        last = min(self._next + self._share, self._count)
        with torch.no_grad():
            encoded = self._kept.get(self._next) or self.encode(encoder, self._next, last)
            if encoder.settled:
                self._kept[self._next] = encoded
            for name, column in self.look(turn, encoded, self._next, last).items():
                self._columns.setdefault(name, []).append(column)
        self._next = last
        if last == self._count:
            self._figures = self.finish({name: np.concatenate(column) for name, column in self._columns.items()})
            self._next, self._columns = None, {}

    @property
    def _is_settled(self) -> bool:
        """Whether the encoder has seen all poses and will never see them in another way."""
        return len(self._kept) * self._share >= self._count

    def _encoder(self, turn: Turn) -> EncoderLike | None:
        try:
            module = turn.agent.model(self._encoder_name).module
        except KeyError:
            module = None
        if not hasattr(module, "encode"):
            logger.info("no %s: this agent has no encoder '%s'", self.title, self._encoder_name)
            self._blind = True
            return None
        return cast("EncoderLike", module)

    def fields(self, kind: str, first: int, last: int, like: EncoderLike) -> dict[str, Tensor]:
        """Return the `observation.*` fields of some poses, on the encoder's device.

        `kind` is `observation`, `next_observation` or `clean_observation`.
        """
        device = _device(like)
        own = {name.partition(".")[2]: name for name in self._poses if name.startswith(f"{kind}.")}
        return {
            f"observation.{name}": torch.from_numpy(self._poses[column][first:last]).to(device)
            for name, column in own.items()
        }

    def report(self) -> dict[str, float]:
        return dict(self._figures)

    def state(self) -> State:
        saved = {name: np.concatenate(column) for name, column in self._columns.items()}
        return {
            "steps": self._steps,
            "due": self._due,
            "next": self._next,
            "columns": saved,
            "figures": dict(self._figures),
        }

    def load_state(self, state: State) -> None:
        self._steps, self._due = int(state["steps"]), int(state["due"])
        self._next = None if state["next"] is None else int(state["next"])
        self._columns = {name: [np.asarray(column)] for name, column in state["columns"].items()}
        self._figures = {name: float(value) for name, value in state["figures"].items()}


def _device(encoder: object) -> torch.device:
    tensors = encoder.state_dict().values() if isinstance(encoder, torch.nn.Module) else ()
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def numbers(tensor: Tensor) -> Numbers:
    """Return a tensor as numpy numbers of double precision."""
    return tensor.to("cpu", torch.float64).numpy()
