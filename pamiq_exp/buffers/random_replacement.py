"""Buffer with random replacement: a sample of old and new transitions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers.buffer import Batch, DataBuffer
from pamiq_exp.component import State
from pamiq_exp.seeding import numpy_generator

EULER = 0.5772156649015329


class RandomReplacementBuffer(DataBuffer):
    """Keeps a random sample of all transitions, for models of single frames that should not forget.

    Once full, it stores each new turn with probability p, in the place of a random one. The ages of its turns are
    distributed exponentially: with N places a turn stays N / p turns on average, and after N H_N / p turns
    (H_N = ln N + 0.577) every place has been overwritten. Give exactly one of

    - `replace_probability`: p itself
    - `mean_lifetime`: turns that one stays on average; p = N / mean_lifetime
    - `survival_length`: turns after which all places have been overwritten, on average; p = N H_N / survival_length
    - `reservoir`: p = N / number of turns so far, so that all turns of the run are equally likely to be in it.
      Source: Vitter 1985, Random sampling with a reservoir, algorithm R.

    Consecutive turns do not stay together: there are no sequences, and no newest turns.

    Args:
        capacity: N, the number of turns that are kept.
        num_envs: Transitions in one turn.
        fields: Descriptions of the fields; see `DataBuffer`.
        seed: Of the random choices.
        replace_probability, mean_lifetime, survival_length, reservoir: See above.

    Raises:
        ValueError: If not exactly one of the four is given, or if p would be above 1.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        fields: Mapping[str, object],
        seed: int,
        replace_probability: float | None = None,
        mean_lifetime: float | None = None,
        survival_length: float | None = None,
        reservoir: bool = False,
    ) -> None:
        super().__init__(capacity, num_envs, fields)
        given = {
            "replace_probability": replace_probability,
            "mean_lifetime": mean_lifetime and capacity / mean_lifetime,
            "survival_length": survival_length and capacity * (math.log(capacity) + EULER) / survival_length,
            "reservoir": 1.0 if reservoir else None,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        if len(chosen) != 1:
            raise ValueError(f"a random replacement buffer needs exactly one of {', '.join(given)}, not {list(chosen)}")
        ((name, probability),) = chosen.items()
        if not 0 < probability <= 1:
            raise ValueError(
                f"{name} would replace with probability {probability:.3g}, which must be above 0 and at most 1; "
                f"with a capacity of {capacity} choose a {'longer time' if probability > 1 else 'positive number'}"
            )
        self.replace_probability = float(probability)
        self._reservoir = bool(reservoir)
        self._seen = 0
        """Number of all turns so far."""
        self._generator = numpy_generator(seed)

    def append(self, columns: Mapping[str, NDArray[Any]], first_turn: int) -> None:
        """Add consecutive turns; see `DataBuffer.append`."""
        turns = len(next(iter(columns.values())))
        filling = min(turns, self.capacity - self._size)
        if filling:
            super().append({name: column[:filling] for name, column in columns.items()}, first_turn)
            self._seen += filling
        for turn in range(filling, turns):
            self._seen += 1
            probability = self.capacity / self._seen if self._reservoir else self.replace_probability
            if self._generator.random() >= probability:
                continue
            place = int(self._generator.integers(self.capacity))
            for name, column in self._columns.items():
                column[place] = torch.from_numpy(np.ascontiguousarray(columns[name][turn]))
            self._turns[place] = first_turn + turn

    def holds_sequence(self, length: int) -> bool:
        """Whether there is a turn at all. Raises ValueError for a length above 1: there are no sequences."""
        self._require_single(length)
        return len(self) > 0

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """Draw sequences of one transition each. Raises ValueError for a length above 1."""
        self._require_single(length)
        return {name: value.unsqueeze(1) for name, value in self.sample(batch_size, generator).items()}

    def latest(self, length: int) -> Batch:
        """Raise ValueError: the turns have no order."""
        raise ValueError("a random replacement buffer has no newest turns: use a RingBuffer")

    def state(self) -> State:
        """See `DataBuffer.state`."""
        return super().state() | {"seen": self._seen}

    def load_state(self, state: State) -> None:
        """See `DataBuffer.load_state`."""
        super().load_state(state)
        self._seen = state["seen"]

    def _require_single(self, length: int) -> None:
        if length > 1:
            raise ValueError(
                f"a random replacement buffer has no sequences of {length} turns: use a RingBuffer, or remove "
                "sequence_length from the trainer"
            )
