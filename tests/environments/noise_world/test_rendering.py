from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pamiq_exp.environments import NoiseWorld
from tests.environments.noise_world.reference import brute_force, ray

SMALL = """
########
#..#...#
#..+...#
#..#.>.#
#..#...#
########
"""


def forward(world: NoiseWorld, steps: int = 1, turn: int = 0) -> None:
    for _ in range(steps):
        world.affect(np.tile([1, 0, turn, 0, 0], (world.num_envs, 1)))


@settings(max_examples=15)
@given(x=st.floats(4.3, 6.7), y=st.floats(1.3, 4.7), heading=st.floats(0.0, 360.0))
def test_rendering_matches_brute_force_rays(x: float, y: float, heading: float) -> None:
    world = NoiseWorld(map=SMALL, noise={"fraction": 0}, start=[x, y, heading], image_size=12)
    truth = world.ground_truth()
    pose = tuple(float(value) for value in truth["pose"][0])
    depth, tile = truth["depth"][0], truth["tile"][0]
    columns = world.map.solid.shape[1]
    for row in range(12):
        for column in range(12):
            hit = brute_force(world.map.solid, pose, ray(pose, 12, row, column, 60.0), 3.0)
            assert depth[row, column] == pytest.approx(hit.depth, rel=1e-5)
            cell = int(hit.point[1]) * columns + int(hit.point[0])
            shown = int(tile[row, column])
            if hit.kind == "wall":
                index, level = divmod(shown - 2 * world.map.solid.size, 3)
                assert level == int(hit.point[2])
                assert world.surfaces.faces[index].direction % 2 == hit.axis
            else:
                assert shown == cell + (world.map.solid.size if hit.kind == "ceiling" else 0)


def test_rendering_shows_wall_pictures_upright_and_unmirrored(tmp_path) -> None:
    from PIL import Image

    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :32] = 250, 0, 0
    pixels[:32, 32:] = 0, 250, 0
    pixels[32:, :32] = 0, 0, 250
    pixels[32:, 32:] = 250, 250, 0
    Image.fromarray(pixels).save(tmp_path / "quarters.png")
    for heading in (0, 90, 180, 270):
        world = NoiseWorld(
            map="###\n#>#\n###",
            noise={"pool": 1, "layout": "surface"},
            images={"source": "folder", "path": str(tmp_path)},
            wall_height=2,
            start=[1.5, 1.5, heading],
            eye_height=1.0,
        )
        view = world.observe().values["image"][0].astype(int)
        assert view[8, 8, 0] > 100 > view[8, 8, 1], "upper left is red"
        assert view[8, 56, 1] > 100 > view[8, 56, 0], "upper right is green"
        assert view[56, 8, 2] > 100 > view[56, 8, 0], "lower left is blue"
        assert view[56, 56, 0] > 100 > view[56, 56, 2], "lower right is yellow"


PROGRAM = """
import hashlib, numpy as np
from pamiq_exp.environments import NoiseWorld
world = NoiseWorld(noise={"pool": 8, "fraction": 0.7}, num_envs=2, seed=3, lag=0.2)
digest = hashlib.sha256()
for step in range(40):
    world.affect(np.array([[1, step % 3, step // 9 % 3, 1, 0], [1, 0, 1, 0, 1]]))
    digest.update(world.observe().values["image"].tobytes())
print(digest.hexdigest()[:16])
"""
FRAMES = "29ca22d8f278ea6d"
"""What the program prints, on every machine. It changes only when the look of the world does."""


def test_rendering_matches_a_pinned_hash(capsys: pytest.CaptureFixture[str]) -> None:
    exec(PROGRAM, {})
    assert capsys.readouterr().out.strip() == FRAMES


@pytest.mark.slow
@pytest.mark.timeout(1200)  # it compiles everything anew
def test_rendering_matches_the_pinned_hash_without_cpu_extensions(tmp_path: Path) -> None:
    environment = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == FRAMES


def test_noise_world_observations_do_not_change_later() -> None:
    world = NoiseWorld(noise={"pool": 4})
    first = world.observe().values["image"]
    copy = first.copy()
    forward(world, 3)
    second = world.observe().values["image"]
    assert np.array_equal(first, copy)
    assert not np.array_equal(first, second)


def test_rendering_never_shows_a_wall_closer_than_the_agent_radius() -> None:
    world = NoiseWorld(noise={"fraction": 0}, num_envs=8, start="random", agent_radius=0.25)
    generator = np.random.default_rng(0)
    nearest = math.inf
    for _ in range(60):
        world.affect(np.stack([generator.choice(3, 8, p=(0.2, 0.7, 0.1)), *generator.integers(0, 2, (4, 8))], axis=1))
        truth = world.ground_truth()
        wall = truth["tile"] >= 2 * world.surfaces.cells
        if wall.any():
            nearest = min(nearest, float(truth["depth"][wall].min()))
    # The view axis may point along a wall: a ray at the edge of the view is longer than its depth.
    assert nearest >= 0.25 * math.cos(math.radians(30)) - 1e-9


@pytest.mark.parametrize("size", [40, 64, 84, 144])
def test_rendering_gives_the_configured_image_size(size: int) -> None:
    world = NoiseWorld(noise={"pool": 2}, image_size=size, num_envs=2)
    observation = world.observe()
    assert observation.values["image"].shape == (2, size, size, 3)
    assert world.observation_space["image"].contains(observation.values["image"][0])


def test_rendering_floor_depth_grows_with_eye_height_in_a_jump() -> None:
    world = NoiseWorld(noise={"fraction": 0})
    floor = float(world.ground_truth()["depth"][0, -1, 32])
    world.affect(np.array([[0, 0, 0, 1, 0]]))
    truth = world.ground_truth()
    assert truth["depth"][0, -1, 32] / floor == pytest.approx(truth["pose"][0, 3] / 1.32, rel=1e-5)


def test_rendering_darkens_the_floor_with_distance() -> None:
    world = NoiseWorld(map="room", noise={"fraction": 0}, materials="plain", open_sky=True, wall_height=6)
    view = world.observe().values["image"][0].astype(int).sum(axis=-1)
    column = view[:, 32]
    floor = world.ground_truth()["tile"][0, :, 32] < world.surfaces.cells
    assert (np.diff(column[floor]) >= 0).all()


def test_noise_world_refuses_to_compute_truth_of_an_earlier_step() -> None:
    world = NoiseWorld(noise={"pool": 2})
    truth = world.ground_truth()
    pose = truth["pose"].copy()
    forward(world)
    assert np.array_equal(truth["pose"], pose), "what was looked up in time stays"
    with pytest.raises(RuntimeError, match="the world has changed"):
        truth["depth"]


def test_noise_world_moves_identically_without_rendering() -> None:
    rendered, unrendered = (NoiseWorld(map=SMALL, num_envs=2, image_size=8, seed=3) for _ in range(2))
    unrendered.stop_rendering()
    generator = np.random.default_rng(0)
    for _ in range(50):
        action = generator.integers(0, 2, (2, 5))
        rendered.affect(action)
        unrendered.affect(action)
    assert np.array_equal(rendered.ground_truth()["pose"], unrendered.ground_truth()["pose"])
