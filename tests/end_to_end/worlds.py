"""What some experiments need, and how tests give it to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

PACKAGES = {
    "atari_curiosity": ("ale_py",),
    "cartpole_jax": ("jax", "equinox", "optax"),
    "minigrid_curiosity": ("minigrid",),
    "miniworld_curiosity": ("miniworld",),
    "study_minigrid": ("minigrid",),
    "vae_video": ("av",),
    "vizdoom_curiosity": ("vizdoom",),
    "vrchat_curiosity": ("pythonosc", "cv2"),
}


def need_packages_of(experiment: str) -> None:
    """Skip the test that calls this if a package that an experiment or sweep needs is missing. None is imported."""
    for package in PACKAGES.get(experiment, ()):
        if find_spec(package) is None:
            pytest.skip(f"{experiment} needs the package {package}, which is not installed")


def need_world_of(experiment: str) -> None:
    """Skip the test that calls this if the world of an experiment cannot be had here."""
    need_packages_of(experiment)
    if experiment == "miniworld_curiosity":
        need_miniworld()


def need_miniworld() -> None:
    """Skip the test that calls this if MiniWorld cannot draw on this machine."""
    need_packages_of("miniworld_curiosity")
    from pamiq_exp.environments import GymnasiumEnvironment

    try:
        GymnasiumEnvironment("MiniWorld-Hallway-v0").teardown()
    except ValueError as error:
        pytest.skip(str(error))


@contextmanager
def world_of(experiment: str, folder: Path) -> Iterator[list[str]]:
    """Make the world of an experiment for as long as this lasts; yields the words that lead to it."""
    need_world_of(experiment)
    if experiment == "vrchat_curiosity":
        from tests.environments.vrchat.stand_in import VRChatStandIn

        with VRChatStandIn() as vrchat:
            yield [
                f"environment.sensors.image.source={vrchat.url}",
                f"environment.actuators.avatar.port={vrchat.ear.port}",
            ]
    elif experiment == "vae_video":
        from pamiq_exp.media import Video
        from pamiq_exp.tracking.media_files import write_media

        frames = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
        write_media(Video("film", frames.repeat(8, axis=1).repeat(8, axis=2), 10.0), folder, 0)
        yield [f"environment.path={folder}"]
    else:
        yield []
