"""Stacks of the newest observations."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import FrameStack
from pamiq_exp.interaction import Array, Environment, Observation


class Numbers(Environment):
    """Shows the number of its step as image and vector, and a mask; environment e ends after 3 + e steps."""

    def __init__(self) -> None:
        self.num_envs = 2
        self.observation_space = gymnasium.spaces.Dict({
            "image": gymnasium.spaces.Box(0, 255, (2, 2, 3), np.uint8),
            "vector": gymnasium.spaces.Box(np.array([0.0, 1.0]), np.array([50.0, 51.0]), dtype=np.float64),
            "action_mask": gymnasium.spaces.Box(0, 1, (2,), np.float32),
        })  # fmt: skip
        self.action_space = gymnasium.spaces.Discrete(2)
        self.now = 0

    def observe(self) -> Observation:
        image = np.full((2, 2, 2, 3), self.now, np.uint8) + np.arange(3, dtype=np.uint8)
        vector = np.tile([self.now, self.now + 1.0], (2, 1))
        ended = np.array([self.now % 4 == 3, self.now % 5 == 4])
        values = {"image": image, "vector": vector, "action_mask": np.ones((2, 2), np.float32)}
        return Observation(values, np.zeros(2, np.float32), ended, np.zeros(2, np.bool_))

    def affect(self, action: Array) -> None:
        self.now += 1

    def state(self) -> dict[str, int]:
        return {"now": self.now}

    def load_state(self, state: dict[str, int]) -> None:
        self.now = state["now"]


def expected(step: int, env: int, frames: int) -> list[int]:
    """The steps that a stack shows: the first step of the episode replaces those before it."""
    first = step - step % (4 + env)
    return [max(first, step - back) for back in reversed(range(frames))]


def test_frame_stack_shows_observations_of_the_episode_oldest_first() -> None:
    environment = FrameStack(Numbers(), 3)
    for step in range(12):
        for seen in (environment.observe(), environment.observe()):
            for env in range(2):
                steps = expected(step, env, 3)
                assert seen.values["image"][env, 0, 0].tolist() == [n + c for n in steps for c in range(3)]
                assert seen.values["vector"][env].tolist() == [n + c for n in steps for c in range(2)]
            assert seen.values["action_mask"].shape == (2, 2)
        environment.affect(np.zeros((2, 1)))


def test_frame_stack_includes_steps_that_were_not_observed() -> None:
    environment = FrameStack(Numbers(), 2)
    environment.affect(np.zeros((2, 1)))
    environment.affect(np.zeros((2, 1)))
    assert environment.observe().values["vector"][0].tolist() == [1, 2, 2, 3]


def test_frame_stack_spaces_have_stacked_shapes_and_bounds() -> None:
    spaces = FrameStack(Numbers(), 2).observation_space
    assert spaces["image"] == gymnasium.spaces.Box(0, 255, (2, 2, 6), np.uint8)
    vector = spaces["vector"]
    assert isinstance(vector, gymnasium.spaces.Box)
    assert (vector.low.tolist(), vector.high.tolist()) == ([0, 1, 0, 1], [50, 51, 50, 51])
    assert spaces["action_mask"].shape == (2,)
    assert vector.contains(FrameStack(Numbers(), 2).observe().values["vector"][0])


@pytest.mark.parametrize("looked", [False, True])
def test_frame_stack_is_restored_from_a_checkpoint(looked: bool) -> None:
    one, other = FrameStack(Numbers(), 3), FrameStack(Numbers(), 3)
    for _ in range(6):
        one.observe()
        one.affect(np.zeros((2, 1)))
    if looked:
        one.observe()
    assert restore_state(other, collect_state(one)) == ([], [])
    for _ in range(4):
        first, second = one.observe(), other.observe()
        assert all(np.array_equal(first.values[name], second.values[name]) for name in first.values)
        one.affect(np.zeros((2, 1)))
        other.affect(np.zeros((2, 1)))


def test_frame_stack_refuses_zero_frames() -> None:
    with pytest.raises(ValueError, match="frame_stack must be at least 1, not 0"):
        FrameStack(Numbers(), 0)
