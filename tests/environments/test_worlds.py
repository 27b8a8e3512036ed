"""MiniGrid, MiniWorld, VizDoom and Atari through the adapter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.interaction import Observation
from pamiq_exp.spaces import describe_spaces
from tests.conftest import Command
from tests.end_to_end.worlds import need_miniworld, need_packages_of


def minigrid(**keys: Any) -> GymnasiumEnvironment:
    wrappers = pytest.importorskip("minigrid.wrappers", reason="needs minigrid: extra worlds")
    return GymnasiumEnvironment("MiniGrid-FourRooms-v0", wrappers=[wrappers.RGBImgPartialObsWrapper], **keys)


def miniworld(**keys: Any) -> GymnasiumEnvironment:
    need_miniworld()
    size = {"obs_width": 40, "obs_height": 40, "max_episode_steps": 20}
    return GymnasiumEnvironment("MiniWorld-OneRoom-v0", kwargs=size, truth={"position": "agent.pos"}, **keys)


def vizdoom(**keys: Any) -> GymnasiumEnvironment:
    pytest.importorskip("vizdoom", reason="needs vizdoom: extra worlds")
    return GymnasiumEnvironment("VizdoomMyWayHome-v1", image_size=40, **keys)


def atari(**keys: Any) -> GymnasiumEnvironment:
    pytest.importorskip("ale_py", reason="needs ale-py: extra worlds")
    return GymnasiumEnvironment("ALE/Pong-v5", image_size=40, **keys)


WORLDS = [minigrid, miniworld, vizdoom, atari]


def run(world: GymnasiumEnvironment, actions: NDArray[np.int64]) -> list[Observation]:
    seen = []
    for action in actions:
        seen.append(world.observe())
        world.affect(action)
    return seen


def picture(seen: Observation) -> NDArray[np.uint8]:
    return next(value for value in seen.values.values() if value.dtype == np.uint8 and value.ndim == 4)


@pytest.mark.parametrize("make", WORLDS)
def test_worlds_give_images_and_respond_to_actions_and_seeds(
    make: Callable[..., GymnasiumEnvironment],
) -> None:
    histories = []
    for seed in (1, 1, 2):
        world = make(num_envs=2, seed=seed)
        space = describe_spaces(world.observation_space, world.action_space, world.num_envs)["action"]
        assert space["kind"] in ("discrete", "multi_discrete")
        choices = np.random.default_rng(0).integers(0, space["nvec"], (30, 2, len(space["nvec"])))
        histories.append(run(world, choices))
        world.teardown()
    first, again, other = (np.stack([picture(seen) for seen in each]) for each in histories)
    assert first.shape[1] == 2
    assert first.shape[-1] == 3
    assert first.std() > 5, "the image is not blank"
    assert (first[1:] != first[:-1]).any(axis=(1, 2, 3, 4)).mean() > 0.3, "the image changes"
    assert np.array_equal(first, again), "the same seed, the same world"
    assert make is atari or not np.array_equal(first, other)


def test_worlds_miniworld_reports_position_and_time_limit() -> None:
    world = miniworld(seed=0)
    seen = run(world, np.full((24, 1, 1), 2))
    assert [bool(each.truncated[0]) for each in seen].index(True) == 20
    assert world.ground_truth()["position"].shape == (1, 3)
    world.teardown()


def test_worlds_miniworld_without_a_driver_says_what_to_install(repository: Path) -> None:
    need_packages_of("miniworld_curiosity")
    script = "from pamiq_exp.environments import GymnasiumEnvironment as G; G('MiniWorld-Hallway-v0')"
    variables = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    variables["__EGL_VENDOR_LIBRARY_DIRS"] = "/nothing"  # as if there were no driver
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, env=variables, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 1
    assert "MiniWorld cannot draw here" in ended.stderr
    assert "apt install libegl1" in ended.stderr


def test_worlds_vizdoom_leaves_no_files_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    world = vizdoom(seed=1)
    run(world, np.zeros((2, 1, 5), dtype=np.int64))
    world.teardown()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", WORLDS)
def test_noisy_tv_covers_its_corner_and_leaves_the_world_unchanged(make: Callable[..., GymnasiumEnvironment]) -> None:
    from pamiq_exp.environments import NoisyTV

    worlds = [make(seed=1), make(seed=1, overlays=[lambda env: NoisyTV(env, shows="pixels")])]
    actions = np.random.default_rng(0).integers(0, 3, (12, 1, 1))
    width = describe_spaces(worlds[0].observation_space, worlds[0].action_space, 1)["action"]["shape"][0]
    plain, noisy = (
        np.stack([picture(seen)[0] for seen in run(world, np.repeat(actions, width, axis=-1))]) for world in worlds
    )
    half = plain.shape[1] // 2
    assert np.array_equal(plain[:, : half - 1], noisy[:, : half - 1])
    assert not np.array_equal(plain[:, half + 1 :, half + 1 :], noisy[:, half + 1 :, half + 1 :])
    assert worlds[1].ground_truth()["noise_mask"].mean() == pytest.approx(0.25, abs=0.02)
    for world in worlds:
        world.teardown()


# Beside other environments, agents and rewards each of them runs in tests/end_to_end/test_combinations.py.
@pytest.mark.parametrize(
    "overlay", ["tv_remote", *(pytest.param(each, marks=pytest.mark.slow) for each in ("tv", "boxes", "view_noise"))]
)
def test_run_accepts_each_overlay_config(command: Command, tmp_path: Path, overlay: str) -> None:
    pytest.importorskip("minigrid", reason="needs minigrid: extra worlds")
    outcome = command(
        "experiment=minigrid_curiosity", f"overlay={overlay}", "agent=random", "launcher.max_steps=40",
        "tracking=jsonl_only", f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["steps"] == 40
