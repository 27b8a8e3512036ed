"""A buffer that replaces turns at random keeps its distribution of ages."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pamiq_exp.buffers import DataUser, RandomReplacementBuffer
from pamiq_exp.component import collect_state, restore_state
from tests.cases import unexpected_errors

FIELDS = {"image": {"shape": [2, 2, 3], "dtype": "uint8"}, "turn": {"shape": [], "dtype": "int64"}}


def buffer(capacity: int = 64, num_envs: int = 2, **settings: Any) -> RandomReplacementBuffer:
    return RandomReplacementBuffer(capacity, num_envs, FIELDS, **({"seed": 0} | settings))


def offer(into: RandomReplacementBuffer, turns: int, first: int = 0) -> None:
    number = np.arange(first, first + turns)
    columns = {
        "image": np.broadcast_to(
            (number % 256).astype(np.uint8)[:, None, None, None, None], (turns, into.num_envs, 2, 2, 3)
        ),
        "turn": np.broadcast_to(number[:, None], (turns, into.num_envs)),
    }
    into.append(columns, first)


def held(of: RandomReplacementBuffer) -> torch.Tensor:
    return of._columns["turn"][: len(of), 0]


def test_random_replacement_buffer_fills_first_and_keeps_transitions_whole() -> None:
    part = buffer(replace_probability=0.3)
    offer(part, 10)
    assert len(part) == 10
    offer(part, 200, first=10)
    batch = part.sample(500, torch.Generator().manual_seed(0))
    assert batch["image"].dtype == torch.uint8
    assert torch.equal(batch["image"][:, 1, 1, 2].long(), batch["turn"] % 256)
    assert len(part) == 64


def test_random_replacement_buffer_keeps_turns_for_the_mean_lifetime() -> None:
    part = buffer(capacity=200, num_envs=1, mean_lifetime=1000.0)
    assert part.replace_probability == pytest.approx(0.2)
    offer(part, 40_000)
    ages = 40_000 - held(part).double()
    assert float(ages.mean()) == pytest.approx(1000, rel=0.25)


def test_random_replacement_buffer_replaces_all_turns_in_the_survival_length() -> None:
    lengths = []
    for seed in range(20):
        part = buffer(capacity=64, num_envs=1, survival_length=600.0, seed=seed)
        offer(part, 64)
        turn = 64
        while (held(part) < 64).any():
            offer(part, 1, first=turn)
            turn += 1
        lengths.append(turn - 64)
    assert np.mean(lengths) == pytest.approx(600, rel=0.2)
    expected = 512 * (math.log(512) + 0.57722) / 36_000
    assert buffer(capacity=512, survival_length=36_000.0).replace_probability == pytest.approx(expected, rel=1e-4)


def test_random_replacement_buffer_reservoir_is_uniform_over_the_run() -> None:
    turns = torch.cat([held(_reservoir(seed)) for seed in range(40)]).double()
    assert float(turns.mean()) == pytest.approx(1000, rel=0.05)
    quarter = (turns < 500).double().mean()
    assert float(quarter) == pytest.approx(0.25, abs=0.05)


def _reservoir(seed: int) -> RandomReplacementBuffer:
    part = buffer(capacity=50, num_envs=1, reservoir=True, seed=seed)
    offer(part, 2000)
    return part


def test_random_replacement_buffer_continues_identically_after_a_restore() -> None:
    parts = [DataUser(buffer(reservoir=True, seed=seed)) for seed in (1, 2)]
    offer(parts[0].buffer, 150)  # type: ignore[arg-type]
    assert restore_state(parts[1], collect_state(parts[0])) == ([], [])
    for part in parts:
        offer(part.buffer, 150, first=150)  # type: ignore[arg-type]
    assert torch.equal(held(parts[0].buffer), held(parts[1].buffer))  # type: ignore[arg-type]


def test_random_replacement_buffer_refuses_sequences() -> None:
    part = buffer(replace_probability=0.5)
    offer(part, 100)
    assert part.holds_sequence(1)
    assert part.sequences(4, 1, torch.Generator())["turn"].shape == (4, 1)
    for ask in (
        lambda: part.holds_sequence(2),
        lambda: part.sequences(1, 2, torch.Generator()),
        lambda: part.latest(1),
    ):
        with pytest.raises(ValueError, match="RingBuffer"):
            ask()


def test_random_replacement_buffer_refuses_invalid_settings() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "exactly one of replace_probability"),
        ({"reservoir": True, "mean_lifetime": 100.0}, "exactly one"),
        ({"mean_lifetime": 10.0}, "longer time"),
        ({"replace_probability": -0.1}, "positive"),
    ]
    assert not unexpected_errors(ValueError, [(partial(buffer, **settings), message) for settings, message in cases])
