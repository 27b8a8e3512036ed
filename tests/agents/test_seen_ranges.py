"""A field that stays in a small part of its declared bounds is reported once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from pamiq_exp.agents import RandomAgent
from pamiq_exp.interaction import continual
from pamiq_exp.spaces import ActionSpec, describe_array
from tests.agents.worlds import Collector

ACTION: ActionSpec = {"kind": "discrete", "shape": [1], "dtype": "int64", "nvec": [3]}
Box = gymnasium.spaces.Box


@pytest.mark.parametrize(
    ("space", "largest", "warning"),
    [
        (Box(0, 255, (7, 7, 3), np.uint8), 10, "'part' is declared from 0 to 255, but was between 0 and 10"),
        (Box(0, 255, (7, 7, 3), np.uint8), 120, None),
        (Box(0, 1, (8, 8, 1), np.uint8), 1, None),
        (Box(-1e4, 1e4, (3,), np.float32), 3, "'part' is declared from -10000 to 10000, but was between 0 and 3"),
        (Box(-10, 10, (3,), np.float32), 3, None),
        (Box(-np.inf, np.inf, (3,), np.float32), 3, None),
        (Box(0, 255, (7, 7, 3), np.uint8), 0, None),
    ],
)
def test_seen_ranges_warn_once_of_values_in_a_small_part_of_the_declared_bounds(
    space: Any, largest: int, warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    agent = RandomAgent(ACTION, 2, 0)
    agent.attach({}, {"data": Collector({"observation": {"part": describe_array(space)}, "action": ACTION})})
    values = np.linspace(0, largest, 2 * int(np.prod(space.shape))).reshape(2, *space.shape).astype(space.dtype)
    for _ in range(450):
        agent.step(continual({"part": values}))
    assert [str(warning) in record.message for record in caplog.records] == ([] if warning is None else [True])
