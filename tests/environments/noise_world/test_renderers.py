from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.environments.noise_world.renderers import Worker

SCENES: list[dict[str, Any]] = [
    {},
    {"noise": {"mode": "pixel", "fraction": 0.5}},
    {"noise": {"layout": "surface", "pool": 9, "overlay": "quadrant"}},
    {"map": "room", "open_sky": True, "wall_height": 6, "noise": {"layout": "surface", "pool": 5}, "image_size": 41},
    {"map": "playroom", "noise": {"fraction": 0.1, "pool": 3}},
    {"noise": {"overlay": "full", "fraction": 0, "mode": "pixel"}},
]


def walk(world: NoiseWorld, steps: int) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    generator = np.random.default_rng(0)
    seen = []
    for _ in range(steps):
        world.affect(generator.integers(0, 2, (world.num_envs, 5)))
        truth = world.ground_truth()
        seen.append((world.observe().values["image"], {name: truth[name] for name in ("tile", "depth", "noise_mask")}))
    return seen


@pytest.mark.parametrize("keys", SCENES, ids=range(len(SCENES)))
def test_renderers_torch_matches_numba(keys: dict[str, Any]) -> None:
    compiled, batched = (
        walk(NoiseWorld(**keys, num_envs=6, start="random", seed=2, renderer=name), 4) for name in ("numba", "torch")
    )
    for (ours, truth), (theirs, other) in zip(compiled, batched, strict=True):
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
        assert np.array_equal(truth["tile"], other["tile"])
        assert np.array_equal(truth["noise_mask"], other["noise_mask"])
        assert np.allclose(truth["depth"], other["depth"], rtol=1e-6)


def test_noise_world_renders_the_same_with_any_number_of_threads() -> None:
    worlds = [NoiseWorld(noise={"pool": 5}, num_envs=5, start="random", threads=threads) for threads in (1, 2, 3)]
    views = [world.observe().values["image"] for world in worlds]
    assert np.array_equal(views[0], views[1])
    assert np.array_equal(views[0], views[2])
    for world in worlds:
        world.teardown()


def test_worker_raises_the_error_of_its_thread() -> None:
    def fail() -> None:
        raise ArithmeticError("in the other thread")

    worker = Worker()
    worker.begin(fail)
    with pytest.raises(ArithmeticError, match="in the other thread"):
        worker.wait()
    worker.close()


def test_noise_world_refuses_an_unavailable_device() -> None:
    with pytest.raises(ValueError, match="'nowhere' cannot be used here"):
        NoiseWorld(renderer="torch", device="nowhere")
