"""Generated data for the dry run, within the bounds that an environment declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.buffers import Batch, DataBuffer, DataUser
from pamiq_exp.interaction import Array, Environment, Observation
from pamiq_exp.spaces import ACTION_MASK, ArraySpec

WIDEST = 1000.0
"""Width of bounds that are used as declared. Of wider and infinite ones only the part near zero is used."""

REACH = 10.0
"""How far numbers lie from the allowed one that is nearest to zero, where bounds are wider."""

DISTINCT_ROWS = 8
"""Environments whose data differ; further ones repeat them, so that thousands cost no more."""


class DryRunData:
    """Draws observations and actions of an environment, always the same ones.

    Numbers are uniform between the declared bounds, in the declared dtype. Rewards are 0.
    """

    def __init__(self, environment: Environment) -> None:
        self.num_envs = environment.num_envs
        self._spaces: dict[str, gymnasium.Space] = dict(environment.observation_space.spaces)  # type: ignore[type-arg]
        self._action_space = environment.action_space
        self._generator = np.random.default_rng(0)

    def observation(self, *, ended: bool) -> Observation:
        """Return what all environments show at one moment, `(num_envs, *shape)` each."""
        values = {name: self._part(name, space) for name, space in self._spaces.items()}
        zeros, never = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, np.bool_)
        return Observation(values, zeros, never, np.full(self.num_envs, ended))

    def turns(self, fields: Mapping[str, ArraySpec], count: int) -> dict[str, Array]:
        """Return the columns of a buffer, `(count, num_envs, *shape)` each; zeros for what no space declares."""
        return {name: np.stack([self._field(name, spec) for _ in range(count)]) for name, spec in fields.items()}

    def _field(self, name: str, spec: ArraySpec) -> Array:
        shape, dtype = tuple(spec["shape"]), np.dtype(spec["dtype"])
        group, _, part = name.partition(".")
        drawn: Array | None = None
        if group == "observation" and part in self._spaces:
            drawn = self._part(part, self._spaces[part])
        elif name == "action":
            drawn = self._actions()
        fits = drawn is not None and drawn.shape == (self.num_envs, *shape)
        return drawn.astype(dtype) if drawn is not None and fits else np.zeros((self.num_envs, *shape), dtype)

    def _part(self, name: str, space: gymnasium.Space) -> Array:  # type: ignore[type-arg]
        if not isinstance(space, gymnasium.spaces.Box):
            return np.zeros((self.num_envs, *(space.shape or ())), dtype=space.dtype)
        if name == ACTION_MASK:  # of a mask that forbids everything nothing could be chosen
            return np.ones((self.num_envs, *space.shape), dtype=space.dtype)
        return self._box(space)

    def _box(self, space: gymnasium.spaces.Box) -> Array:
        low, high = _bounds(space)
        size = (min(self.num_envs, DISTINCT_ROWS), *space.shape)
        if space.dtype is not None and np.dtype(space.dtype).kind == "f":
            rows: Array = self._generator.uniform(low, high, size).astype(space.dtype)
            rows = np.clip(rows, space.low, space.high)  # rounding may have left the bounds
        else:
            rows = self._generator.integers(np.ceil(low).astype(np.int64), np.floor(high).astype(np.int64) + 1, size)
            rows = rows.astype(space.dtype)
        return np.resize(rows, (self.num_envs, *space.shape))

    def _actions(self) -> Array:
        """Return one action for each environment, in the canonical form: branches, or the numbers of a Box."""
        space = self._action_space
        if isinstance(space, gymnasium.spaces.Box):
            return self._box(space)
        choices = space.nvec if isinstance(space, gymnasium.spaces.MultiDiscrete) else [getattr(space, "n", 1)]
        return self._generator.integers(0, np.asarray(choices), (self.num_envs, len(choices)))


def _bounds(space: gymnasium.spaces.Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds between which numbers are drawn."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    nearest = np.clip(0.0, low, high)
    with np.errstate(invalid="ignore", over="ignore"):
        to_float32 = ~(high - low <= WIDEST)
    low = np.where(to_float32, np.maximum(low, nearest - REACH), low)
    return low, np.where(to_float32, np.minimum(high, nearest + REACH), high)


class DryRunUser(DataUser):
    """A buffer that counts as full and gives few rows: what was collected, repeated, or generated data.

    Args:
        buffer: The buffer; its memory is not filled.
        data: Gives what was not collected.
        rows: Of a batch, where trainers draw as many as they like: shapes need no more.
    """

    def __init__(self, buffer: DataBuffer, data: DryRunData, rows: int) -> None:
        super().__init__(buffer)
        self._data = data
        self._rows = rows
        self._turns: Batch = {}

    def fill(self, turns: int) -> None:
        """Keep what was collected so far, or generate as many turns, and count as full."""
        with suppress(Exception):  # what the agent collected may be what is wrong, and is reported already
            self.update()
            self._turns = {name: torch.cat(list(parts)) for name, parts in self.buffer.state()["columns"].items()}
        if not any(len(column) for column in self._turns.values()):
            generated = self._data.turns(self.buffer.fields, turns)
            self._turns = {name: torch.from_numpy(column) for name, column in generated.items()}
        self.buffer.count_as_full()
        self._added += self.buffer.capacity * self.buffer.num_envs

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """See `DataUser.sample`."""
        batch = super().sample(min(batch_size, self._rows), generator)
        return self._replaced(batch, lambda column, rows: _cycle(column.flatten(0, 1), len(rows)))

    def sequences(self, batch_size: int, length: int, generator: torch.Generator) -> Batch:
        """See `DataUser.sequences`."""
        batch = super().sequences(min(batch_size, self._rows), length, generator)
        return self._replaced(
            batch, lambda column, rows: _cycle(_cycle(column, rows.shape[1]).transpose(0, 1), len(rows))
        )

    def latest(self, length: int) -> Batch:
        """See `DataUser.latest`."""
        return self._replaced(super().latest(length), lambda column, rows: _cycle(column, len(rows)))

    def take(self, length: int) -> Batch:
        """See `DataUser.take`."""
        return self._replaced(super().take(length), lambda column, rows: _cycle(column, len(rows)))

    def _replaced(self, batch: Batch, choose: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Batch:
        known = {name: choose(self._turns[name], rows) for name, rows in batch.items() if name in self._turns}
        return batch | {name: rows for name, rows in known.items() if rows.shape == batch[name].shape}


def _cycle(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Return `count` rows: those there are, again and again."""
    return rows[torch.arange(count) % len(rows)]
