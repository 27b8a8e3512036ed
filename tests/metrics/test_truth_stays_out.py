"""The ground truth reaches metrics and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pamiq_exp.environments import NoiseWorld
from tests.conftest import Command

SHORT = ("launcher=lockstep", "launcher.max_steps=200", "tracking=jsonl_only", "environment.image_size=24")
SOON = ("models.encoder.warmup=50", "trainers.encoder.train_every=40", "trainers.encoder.learning_starts=40")


def test_noise_world_observations_do_not_contain_the_ground_truth() -> None:
    world = NoiseWorld(noise={"pool": 2}, num_envs=2, image_size=24)
    truth = world.ground_truth()
    assert set(world.observation_space.spaces) == {"image"}
    assert "image" not in truth
    for _ in range(3):
        seen = world.observe()
        assert set(seen.values) == {"image"}
        image = seen.values["image"]
        assert image.shape == (2, 24, 24, 3), "three colors and no further channel"
        truth = world.ground_truth()
        assert not np.array_equal(image, truth["clean_image"]), "the noise is part of the image"
        assert not [name for name in truth if np.shares_memory(image, truth[name])]
        world.affect(world.actions.choices[None].repeat(2, 0) - 1)


@pytest.mark.parametrize("agent", ["curiosity", "random", "ppo"])
def test_noise_world_ground_truth_is_not_read_by_agents_buffers_or_models(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: str
) -> None:
    """Any read of the ground truth ends this run."""

    def read(self: NoiseWorld) -> None:
        raise AssertionError("the ground truth was read")

    monkeypatch.setattr(NoiseWorld, "ground_truth", read)
    words = SOON if agent == "curiosity" else ()
    outcome = command("experiment=pamiq2024", f"agent={agent}", "metrics=none", *SHORT, *words)
    assert outcome.status == 0, outcome.err
    (summary,) = (tmp_path / "outputs").rglob("summary.json")
    assert json.loads(summary.read_text())["steps"] == 200
