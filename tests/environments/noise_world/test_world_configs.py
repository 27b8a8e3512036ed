from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from pamiq_exp.config.compose import compose_config
from pamiq_exp.environments import NoiseWorld
from tests.conftest import options_of, text_of_option

WORLDS = options_of("world")


def build(name: str, **keys: Any) -> NoiseWorld:
    config = compose_config(["experiment=pamiq2024", f"world={name}"])
    config.environment.seed = 0
    node: Any = OmegaConf.to_container(config.environment, resolve=True)
    assert node.pop("_target_") == "pamiq_exp.environments.NoiseWorld"
    return NoiseWorld(**node | keys)


def test_world_configs_include_all_named_worlds() -> None:
    named = "clean simple food food_room cycle tvroom remote white flicker blackout shift noisy2023"
    assert set(named.split()) <= set(WORLDS)


def test_world_configs_begin_with_a_one_line_description() -> None:
    first = {name: text_of_option(f"world/{name}").splitlines()[:2] for name in WORLDS}
    wrong = {
        name: lines
        for name, lines in first.items()
        if lines[0] != "# @package environment" or not lines[1].startswith("# ") or len(lines[1]) <= 30
    }
    assert first
    assert not wrong


@pytest.mark.parametrize("name", WORLDS)
def test_world_configs_build_and_run(name: str) -> None:
    world = build(name, num_envs=2, image_size=32)
    generator = np.random.default_rng(0)
    for _ in range(5):
        assert world.observe().values["image"].shape == (2, 32, 32, 3)
        world.affect(generator.integers(0, world.action_space.nvec, (2, len(world.action_space.nvec))))
    assert world.ground_truth()["reachable"].any()


def noisy_share(name: str) -> float:
    """Share of the view that is noise, over views from everywhere."""
    world = build(name, num_envs=40, start="random")
    return float(world.ground_truth()["noise_mask"].mean())


def test_world_configs_have_the_expected_share_of_noise() -> None:
    share = {name: noisy_share(name) for name in ("food", "clean", "tvroom", "remote", "white", "cycle", "noisy2023")}
    assert share["clean"] == share["cycle"] == 0
    assert share["white"] == 1
    assert 0.7 < share["food"] < 1
    assert 0 < share["tvroom"] < 0.25
    assert 0 < share["remote"] < 0.1
    assert 0 < share["noisy2023"] < 0.3


def test_world_configs_shift_opens_gates_to_a_new_wing() -> None:
    world = build("shift", gates_open_at=0.2, num_envs=1)
    closed = world.render_at(np.array([[23.0, 12.5, 0.0]]))
    for _ in range(3):
        world.affect(np.array([[0, 0, 0, 0, 0]]))
    opened = world.render_at(np.array([[23.0, 12.5, 0.0]]))
    assert (closed != opened).any()
    assert not world.ground_truth()["noise_mask"].any()
    flickering = build("shift", gates_open_at=0.0, noise={"where": "behind_gates"}, start=[25.0, 12.5, 0.0])
    assert flickering.ground_truth()["noise_mask"].mean() > 0.5
