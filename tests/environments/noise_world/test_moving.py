from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.environments.noise_world.moving import sine

OPEN = "\n".join(
    ["#" * 21, *["#" + "." * 19 + "#"] * 9, "#" + "." * 9 + ">" + "." * 9 + "#", *["#" + "." * 19 + "#"] * 9, "#" * 21]
)


def hall(**keys: object) -> NoiseWorld:
    return NoiseWorld(map=OPEN, noise={"fraction": 0}, image_size=8, **keys)  # type: ignore[arg-type]


def pose_after(action: list[int], steps: int = 1, **keys: object) -> np.ndarray:
    world = hall(**keys)
    for _ in range(steps):
        world.affect(np.array([action]))
    return world.ground_truth()["pose"][0] - np.array([10.5, 10.5, 0.0, 1.32])


def test_noise_world_each_action_branch_has_its_own_effect() -> None:
    """Facing east, right is south; a right turn is clockwise on the map; running doubles walking only."""
    cases = [
        ([0, 0, 0, 0, 0], (0.0, 0.0, 0.0)),
        ([1, 0, 0, 0, 0], (0.25, 0.0, 0.0)),
        ([2, 0, 0, 0, 0], (-0.25, 0.0, 0.0)),
        ([0, 1, 0, 0, 0], (0.0, 0.25, 0.0)),
        ([0, 2, 0, 0, 0], (0.0, -0.25, 0.0)),
        ([0, 0, 1, 0, 0], (0.0, 0.0, math.radians(15))),
        ([0, 0, 2, 0, 0], (0.0, 0.0, math.radians(345))),
        ([0, 0, 0, 0, 1], (0.0, 0.0, 0.0)),
        ([1, 0, 0, 0, 1], (0.5, 0.0, 0.0)),
        ([0, 0, 1, 0, 1], (0.0, 0.0, math.radians(15))),
    ]
    found = [(action, pose_after(action)[:3]) for action, _ in cases]
    assert found == [(action, pytest.approx(moved, abs=1e-12)) for action, moved in cases]


def test_noise_world_discrete_actions_move_like_the_branches() -> None:
    moved = [(0, 0, 0), (0.25, 0, 0), (-0.25, 0, 0), (0, 0, 15), (0, 0, 345), (0, 0.25, 0), (0, -0.25, 0)]
    found = [pose_after([number], actions="discrete")[:3] for number in range(7)]
    assert found == [pytest.approx((x, y, math.radians(degrees)), abs=1e-12) for x, y, degrees in moved]


def test_noise_world_action_spaces_match_the_legacy() -> None:
    assert hall().action_space.nvec.tolist() == [3, 3, 3, 2, 2]
    assert hall(actions="masked").action_space.nvec.tolist() == [3, 3, 3, 1, 1]
    assert hall(actions="discrete").action_space.n == 7


def test_noise_world_jump_follows_a_ballistic_arc_and_lands() -> None:
    world = hall(dt=0.01)
    heights = []
    for step in range(80):
        world.affect(np.array([[0, 0, 0, int(step == 0), 0]]))
        heights.append(float(world.ground_truth()["pose"][0, 3]) - 1.32)
    times = np.arange(1, 81) * 0.01
    arc = np.maximum(2.5 * times - 0.5 * 9.81 * times**2, 0.0)
    assert np.abs(np.array(heights)[:50] - arc[:50]).max() < 1e-9
    assert heights[-1] == 0.0


def test_noise_world_lag_follows_the_exponential() -> None:
    """Each step first brings the speed nearer to its command (by exp(-dt / lag)), then moves with it."""
    shares = 1.0 - np.exp(-0.1 / 0.2) ** np.arange(1, 8)
    assert pose_after([1, 0, 0, 0, 0], 7, lag=0.2)[0] == pytest.approx(float(shares.sum()) * 0.25, rel=1e-9)


def test_noise_world_full_turn_returns_exactly_to_the_first_heading() -> None:
    assert pose_after([0, 0, 1, 0, 0], 24)[2] == 0.0


def test_noise_world_walls_stop_the_agent_and_let_it_slide() -> None:
    world = hall(start=[18.0, 10.5, 45.0])
    for _ in range(60):
        world.affect(np.array([[1, 0, 0, 0, 0]]))
    x, y = world.ground_truth()["pose"][0, :2]
    assert x == pytest.approx(20 - 0.25)
    assert y == pytest.approx(20 - 0.25), "it slid along the wall into the corner"


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), radius=st.sampled_from([0.1, 0.25, 0.4, 0.5]))
def test_noise_world_agent_never_enters_a_wall(seed: int, radius: float) -> None:
    world = NoiseWorld(noise={"fraction": 0}, num_envs=4, image_size=8, agent_radius=radius, start="random", seed=seed)
    generator = np.random.default_rng(seed)
    solid = np.argwhere(world.map.solid)
    for _ in range(60):
        world.affect(generator.integers(0, 2, (4, 5)) * np.array([1, 1, generator.integers(0, 3), 1, 1]))
        for x, y in world.ground_truth()["pose"][:, :2]:
            away = np.maximum(np.maximum(solid - (y, x), (y, x) - solid - 1.0), 0.0)
            assert np.sqrt((away**2).sum(axis=1)).min() >= radius - 1e-6


def test_noise_world_agent_passes_one_meter_doors() -> None:
    world = NoiseWorld(noise={"fraction": 0}, image_size=8)
    rooms = set()
    for _ in range(40):
        world.affect(np.array([[1, 0, 0, 0, 0]]))
        rooms.add(int(world.ground_truth()["room"][0]))
    assert {4, -1, 5} == rooms, "from the middle room through the door into the eastern one"


@given(degrees=st.floats(-1e4, 1e4))
def test_sine_matches_math_sin(degrees: float) -> None:
    assert sine(degrees) == pytest.approx(math.sin(math.radians(degrees)), abs=1e-11)


def test_sine_is_exact_at_quarter_turns() -> None:
    assert [sine(90.0 * quarter) for quarter in range(-4, 5)] == [0, 1, 0, -1, 0, 1, 0, -1, 0]


def test_noise_world_sticky_actions_repeat_for_a_geometric_time() -> None:
    """A command that is not given again repeats with the probability `sticky`: geometric lengths."""
    world = hall(sticky=0.5, num_envs=200, start=[2.0, 10.5, 0.0], speed=1.0)
    world.affect(np.tile([1, 0, 0, 0, 0], (200, 1)))
    for _ in range(12):
        world.affect(np.zeros((200, 5), dtype=np.int64))
    steps = (world.ground_truth()["pose"][:, 0] - 2.0) / 0.1
    assert steps.min() == pytest.approx(1.0)
    assert 1.7 < steps.mean() < 2.3


def test_noise_world_random_starts_differ_between_environments_and_seeds() -> None:
    poses = [hall(start="random", num_envs=6, seed=seed).ground_truth()["pose"] for seed in (0, 0, 1)]
    assert np.array_equal(poses[0], poses[1])
    assert not np.array_equal(poses[0], poses[2])
    assert len(np.unique(poses[0][:, 0])) > 3
