from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import NoiseWorld
from pamiq_exp.spaces import describe_spaces
from tests.cases import unexpected_errors

GATED = "############\n#>....=....#\n#....#=....#\n#....######\n############"
VARIANTS: list[dict[str, object]] = [
    {},
    {"noise": {"control": "gaze", "pool": 20}},
    {"noise": {"control": "remote", "pool": 20}},
    {"sticky": 0.4, "lag": 0.3, "noise": {"mode": "pixel", "overlay": "quadrant"}},
    {"map": GATED, "gates_open_at": 0.7, "noise": {"pool": 3}},
    {"map": "playroom", "noise": {"pool": 3, "fraction": 0.1}},
    {"odometry": True, "episode_steps": 7, "start": "random", "noise": {"pool": 3}},
]


def wander(world: NoiseWorld, steps: int, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        seen.append(world.observe().values["image"])
        world.affect(generator.integers(0, world.action_space.nvec, (world.num_envs, len(world.action_space.nvec))))
    return seen


@pytest.mark.parametrize("keys", VARIANTS, ids=lambda keys: ",".join(keys) or "default")
def test_noise_world_continues_bit_for_bit_after_a_restore(keys: dict[str, object]) -> None:
    world = NoiseWorld(**keys, num_envs=2, image_size=24, seed=7)  # type: ignore[arg-type]
    wander(world, 9, seed=0)
    saved = collect_state(world)
    expected = wander(world, 6, seed=1)
    other = NoiseWorld(**keys, num_envs=2, image_size=24, seed=7)  # type: ignore[arg-type]
    assert restore_state(other, saved) == ([], [])
    assert all(np.array_equal(a, b) for a, b in zip(expected, wander(other, 6, seed=1), strict=True))


def test_noise_world_changes_only_on_affect() -> None:
    world = NoiseWorld(noise={"pool": 9})
    world.setup()
    for _ in range(3):
        world.observe()
        dict(world.ground_truth())
    assert int(world.ground_truth()["step"]) == 0
    assert np.array_equal(world.observe().values["image"], NoiseWorld(noise={"pool": 9}).observe().values["image"])


def test_noise_world_never_ends_and_never_rewards() -> None:
    world = NoiseWorld(noise={"pool": 2}, num_envs=3, image_size=16)
    for turn in range(20):
        observation = world.observe()
        assert not observation.ended.any()
        assert not observation.reward.any()
        world.affect(world.actions.choices[None].repeat(3, 0) - 1 - turn % 2)


def test_noise_world_odometry_is_relative_to_the_episode_start() -> None:
    world = NoiseWorld(odometry=True, start="random", episode_steps=5, num_envs=2, image_size=16, actions="masked")
    forward = np.tile([1, 0, 0, 0, 0], (2, 1))
    for turn in range(9):
        pose, way = world.ground_truth()["pose"][:, :2], world.observe().values["odometry"]
        if turn in (0, 6):  # an episode of five steps has six observations
            start = pose.copy()
        np.testing.assert_allclose(way, pose - start, atol=1e-5)
        world.affect(forward)
    assert way.dtype == np.float32
    assert np.abs(way).max() > 0.2


def test_noise_world_gates_open_at_their_time() -> None:
    world = NoiseWorld(map=GATED, gates_open_at=0.7, noise={"fraction": 0})
    walk = np.array([[1, 0, 0, 0, 0]])
    for _ in range(7):
        world.affect(walk)
    behind = world.ground_truth()["depth"][0, 40, 32]
    for _ in range(40):
        world.affect(walk)
    assert world.ground_truth()["pose"][0, 0] > 7, "it walked through the gate"
    closed = NoiseWorld(map=GATED, noise={"fraction": 0})
    for _ in range(40):
        closed.affect(walk)
    assert closed.ground_truth()["pose"][0, 0] < 6
    assert behind > 4, "and could look through it"
    assert world.reachable.sum() > closed.reachable.sum()


def test_noise_world_spaces_are_described_for_configs() -> None:
    world = NoiseWorld(noise={"pool": 2}, num_envs=3, image_size=40)
    spaces = describe_spaces(world.observation_space, world.action_space, world.num_envs)
    assert spaces["observation"]["image"]["shape"] == [40, 40, 3]
    assert spaces["action"]["nvec"] == [3, 3, 3, 2, 2]
    assert spaces["num_envs"] == 3


def test_noise_world_refuses_invalid_actions() -> None:
    world = NoiseWorld(noise={"fraction": 0}, num_envs=2)
    actions = [[[0, 0, 0, 0, 0]], [[0] * 5, [3, 0, 0, 0, 0]], [[0] * 5, [-1, 0, 0, 0, 0]], [[0], [0]]]
    calls = [(partial(world.affect, np.array(action)), "shape") for action in actions]
    assert not unexpected_errors(ValueError, calls)


def test_noise_world_environments_are_independent() -> None:
    world = NoiseWorld(noise={"fraction": 0}, num_envs=2)
    world.affect(np.array([[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]]))
    pose = world.ground_truth()["pose"]
    assert pose[0, 0] > pose[1, 0]
    assert pose[1, 2] > pose[0, 2]
