from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from pamiq_exp.environments import FreeRunning, GymnasiumEnvironment, gymnasium_environment
from pamiq_exp.environments.real_time_tasks import CartPoleForce, PixelTracker


def test_cart_pole_force_at_full_force_matches_cart_pole() -> None:
    pole, force = gymnasium.make("CartPole-v1").unwrapped, CartPoleForce()
    pole.reset(seed=1)
    force.reset(seed=1)
    for push in (1, 0, 0, 1):
        expected = pole.step(push)[0]
        assert np.array_equal(force.step(np.float32([2 * push - 1]))[0], expected)
    weak, strong = CartPoleForce(), CartPoleForce()
    for each, size in ((weak, 0.1), (strong, 0.9)):
        each.reset(seed=1)
        each.step(np.float32([size]))
    assert strong.unwrapped.state[1] > weak.unwrapped.state[1]


def test_pixel_tracker_target_speed_is_limited_and_reward_is_one_minus_distance() -> None:
    tracker = PixelTracker()
    tracker.reset(seed=0)
    for _ in range(1000):
        before = tracker.target
        observation, reward, *_ = tracker.step(np.float32([0, 0]))
        assert np.hypot(*(tracker.target - before)) <= PixelTracker.SPEED * PixelTracker.DT + 1e-9
        assert (np.abs(observation) <= 1).all()
        assert reward == pytest.approx(1 - np.hypot(*(tracker.cursor - tracker.target)))
    assert np.hypot(*(tracker.target - before)) > 0, "the target does not get stuck at an edge"
    tracker.reset(seed=3)
    for _ in range(60):
        offset = tracker.target - tracker.cursor
        _, reward, *_ = tracker.step(np.clip(10 * offset, -1, 1).astype(np.float32))
    assert reward > 0.9, "who follows the target gets close to 1"


def test_pixel_tracker_shows_target_and_cursor() -> None:
    tracker = PixelTracker(render_mode="rgb_array", size=32)
    tracker.reset(seed=0)
    tracker.target, tracker.cursor = np.array([0.5, 0.0]), np.array([-0.5, 0.0])
    rows, columns = np.nonzero(tracker.render()[:, :, 0])
    assert columns.mean() / 31 == pytest.approx((0.5 + 1.1) / 2.2, abs=0.05)
    assert rows.mean() / 31 == pytest.approx(0.5, abs=0.05)
    assert not (tracker.render()[:, :, 2]).any()


@pytest.mark.parametrize("name", ["Pendulum-v1", "pamiq_exp/CartPoleForce-v0", "pamiq_exp/PixelTracker-v0"])
def test_gymnasium_environment_options_select_pixels_and_free_running(name: str) -> None:
    vector = gymnasium_environment(name)
    assert isinstance(vector, GymnasiumEnvironment)
    assert list(vector.observation_space.spaces) == ["vector"]
    running = gymnasium_environment(name, render_as_observation=True, image_size=32, free_running=True, interval=0.01)
    try:
        assert isinstance(running, FreeRunning)
        assert running.observe().values["image"].shape == (1, 32, 32, 3)
    finally:
        running.teardown()
        vector.teardown()


def test_gymnasium_environment_finds_its_noop_action() -> None:
    class Named(PixelTracker):
        def get_action_meanings(self) -> list[str]:
            return ["FIRE", "NOOP"]

    assert GymnasiumEnvironment(make=Named).noop_action == (1,)
    assert GymnasiumEnvironment("CartPole-v1").noop_action is None
