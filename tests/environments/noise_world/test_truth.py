from __future__ import annotations

import math

import numpy as np
import pytest

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import NoiseWorld

STILL = np.zeros((1, 5), dtype=np.int64)


def test_noise_world_episode_truncates_after_its_steps_and_restarts() -> None:
    world = NoiseWorld(map="playroom", noise={"fraction": 0}, image_size=8, episode_steps=3, num_envs=2)
    walk = np.array([[1, 0, 0, 0, 0]] * 2)
    start, ended, places = world.ground_truth()["pose"].copy(), [], []
    for _ in range(9):
        seen = world.observe()
        assert not seen.terminated.any()
        ended.append(seen.truncated.tolist())
        places.append(world.ground_truth()["pose"].copy())
        world.affect(walk)
    assert ended == [[index % 4 == 3] * 2 for index in range(9)]
    assert np.array_equal(places[4], start)
    assert np.array_equal(places[8], start)
    assert (places[3] != start).any()
    assert int(world.ground_truth()["step"]) == 9, "time goes on"


def test_noise_world_random_starts_differ_between_episodes_and_follow_the_seed() -> None:
    def starts() -> list[list[float]]:
        world = NoiseWorld(noise={"fraction": 0}, image_size=8, episode_steps=1, start="random", seed=4)
        places = []
        for _ in range(4):
            places.append(world.ground_truth()["pose"][0].tolist())
            world.affect(STILL)
            world.affect(STILL)
        return places

    first = starts()
    assert len({tuple(place) for place in first}) == 4
    assert first == starts()


def test_noise_world_restores_the_step_of_an_episode() -> None:
    keys = {"noise": {"fraction": 0}, "image_size": 8, "episode_steps": 5}
    one, other = NoiseWorld(**keys), NoiseWorld(**keys)  # type: ignore[arg-type]
    for _ in range(4):
        one.affect(STILL)
    restore_state(other, collect_state(one))
    assert not other.observe().ended.any()
    other.affect(STILL)
    assert other.observe().truncated.all()


def test_noise_world_refuses_invalid_episode_lengths() -> None:
    for steps in (0, -3):
        with pytest.raises(ValueError, match="episode_steps"):
            NoiseWorld(episode_steps=steps)


def test_noise_world_place_moves_agents_to_the_given_poses() -> None:
    world = NoiseWorld(noise={"fraction": 0}, image_size=24, num_envs=2)
    poses = np.array([[4.5, 4.5, 0.3], [12.5, 9.8, 5.0]])
    assert world.place(poses)
    assert world.ground_truth()["pose"][:, :3] == pytest.approx(poses)
    assert np.array_equal(world.observe().values["image"], world.render_at(poses))
    with pytest.raises(ValueError, match="in a wall"):
        world.place(np.array([[0.5, 0.5, 0.0], [4.5, 4.5, 0.0]]))


def test_truth_marks_only_the_room_with_noisy_tiles_as_noisy() -> None:
    world = NoiseWorld(noise={"where": "one_room", "pool": 2}, image_size=8)
    truth = world.ground_truth()
    assert int(truth["room_count"]) == 9
    noisy = set()
    for cell in np.argwhere(world.map.rooms >= 0):
        world.place(np.array([[cell[1] + 0.5, cell[0] + 0.5, 0.0]]))
        truth = world.ground_truth()
        if truth["noisy_room"][0]:
            noisy.add(int(truth["room"][0]))
    assert len(noisy) == 1
    door = np.argwhere((world.map.rooms < 0) & ~world.map.solid)[0]
    world.place(np.array([[door[1] + 0.5, door[0] + 0.5, 0.0]]))
    assert not world.ground_truth()["noisy_room"][0], "a doorway is no room"


def test_truth_counts_presses_only_with_a_remote() -> None:
    world = NoiseWorld(noise={"control": "remote", "pool": 2}, image_size=8)
    for press in (1, 0, 1):
        world.affect(np.array([[0, 0, 0, 0, 0, press]]))
    assert world.ground_truth()["presses"].tolist() == [2]
    assert world.ground_truth()["command"].tolist() == [[0, 0, 0, 0, 0, 1]]
    assert "presses" not in NoiseWorld(noise={"pool": 2}, image_size=8).ground_truth()


def test_truth_clean_image_is_the_view_without_noise() -> None:
    world = NoiseWorld(
        noise={"fraction": 0.5, "pool": 5, "overlay": "quadrant"}, num_envs=3, start="random", image_size=32
    )
    clean = NoiseWorld(noise={"fraction": 0}, num_envs=3, start="random", image_size=32)
    world.affect(np.repeat(STILL, 3, 0))
    clean.affect(np.repeat(STILL, 3, 0))
    truth = world.ground_truth()
    seen = world.observe().values["image"]
    assert np.array_equal(truth["clean_image"], clean.observe().values["image"])
    assert np.array_equal(truth["clean_image"][~truth["noise_mask"]], seen[~truth["noise_mask"]])


def test_noise_world_keyboard_maps_keys_to_commands() -> None:
    world = NoiseWorld(noise={"pool": 2}, image_size=8)
    assert world.keyboard()["w"] == [(0, 1)]
    assert world.keyboard()["left"] == [(2, 2)]
    assert math.isclose(float(world.ground_truth()["pose"][0, 3]), 1.32)
