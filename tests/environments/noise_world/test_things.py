from __future__ import annotations

import math

import numpy as np
import pytest

from pamiq_exp.environments import NoiseWorld

HALL = "\n".join(["#" * 12, *["#" + "." * 10 + "#"] * 2, "#>..{}......#", *["#" + "." * 10 + "#"] * 2, "#" * 12])
EAST = np.array([[1, 0, 0, 0, 0]])
WEST = np.array([[2, 0, 0, 0, 0]])


def hall(thing: str, **keys: object) -> NoiseWorld:
    return NoiseWorld(map=HALL.format(thing), noise={"fraction": 0}, **keys)  # type: ignore[arg-type]


def go(world: NoiseWorld, action: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    for _ in range(steps):
        world.affect(action)
    truth = world.ground_truth()
    return truth["pose"][0], truth["things"][0, 0]


def test_things_box_is_pushed_until_a_wall_stops_it() -> None:
    world = hall("b")
    _, box = go(world, EAST, 14)
    assert box[0] > 4.6
    pose, box = go(world, EAST, 60)
    assert box[0] == pytest.approx(11 - 0.35)
    assert pose[0] == pytest.approx(11 - 2 * 0.35 - 0.25)


def test_things_lamp_toggles_once_per_touch() -> None:
    world = hall("l")
    dark = world.render_at(np.array([[1.5, 3.5, 0.0]]))
    pose, lamp = go(world, EAST, 20)
    assert lamp[2] == 1, "once, however long the contact lasts"
    assert pose[0] == pytest.approx(4.5 - 0.2 - 0.25)
    assert world.render_at(np.array([[1.5, 3.5, 0.0]])).max() > dark.max(), "the light is visible"
    go(world, WEST, 3)
    _, lamp = go(world, EAST, 20)
    assert lamp[2] == 0


def test_things_ball_rolls_back_and_forth_regardless_of_actions() -> None:
    world, other = hall("o"), hall("o")
    places = []
    for _ in range(200):
        places.append(float(go(world, EAST, 1)[1][0]))
        assert places[-1] == go(other, WEST, 1)[1][0]
    assert min(places) == pytest.approx(1.3, abs=0.11)
    assert max(places) == pytest.approx(10.7, abs=0.11)
    assert np.abs(np.diff(places)).max() <= 0.1 + 1e-9


@pytest.mark.parametrize(("thing", "radius"), [("b", 0.35), ("l", 0.2)])
def test_things_appear_at_their_position_and_size(thing: str, radius: float) -> None:
    world = hall(thing, image_size=128)
    truth = world.ground_truth()
    number = world.surfaces.tiles + 1
    seen = truth["tile"][0] == number
    columns = np.flatnonzero(seen.any(axis=0))
    assert columns.min() + columns.max() == 127, "straight ahead"
    nearest = 3.0 - radius
    assert truth["depth"][0][seen].min() == pytest.approx(nearest, rel=1e-3)
    edge = radius / nearest if thing == "b" else math.tan(math.asin(radius / 3.0))
    assert len(columns) == pytest.approx(128 * edge / math.tan(math.radians(30)), abs=1.5)


def test_things_behind_a_wall_or_the_agent_are_not_visible() -> None:
    behind = hall("b", start=[8.5, 3.5, 0.0])
    assert (behind.ground_truth()["tile"] <= behind.surfaces.tiles).all()
    walled = NoiseWorld(map="#######\n#>.#b.#\n#######", noise={"fraction": 0})
    assert (walled.ground_truth()["tile"] <= walled.surfaces.tiles).all()


def test_things_hide_things_behind_them() -> None:
    world = NoiseWorld(map="##########\n#>..l..b.#\n##########", noise={"fraction": 0})
    tile = world.ground_truth()["tile"][0]
    numbers = set(np.unique(tile[:, 31:33]).tolist()) - set(range(world.surfaces.tiles + 1))
    assert numbers == {world.surfaces.tiles + 1}, "only the lamp, which stands before the box"


def test_noise_world_render_at_clean_matches_a_world_without_noise() -> None:
    noisy, clean = NoiseWorld(noise={"pool": 5}), NoiseWorld(noise={"fraction": 0})
    poses = np.array([[12.5, 12.5, 0.0], [4.5, 4.5, 2.0]])
    assert np.array_equal(noisy.render_at(poses, noise="clean"), clean.render_at(poses))
    assert np.array_equal(noisy.render_at(poses)[:1], noisy.observe().values["image"])
    with pytest.raises(ValueError, match="in a wall"):
        noisy.render_at(np.array([[0.5, 0.5, 0.0]]))
