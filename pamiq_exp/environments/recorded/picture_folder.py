"""A folder of pictures as an environment."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
from gymnasium import spaces
from PIL import Image

from pamiq_exp.component import State
from pamiq_exp.environments.noise_world.pictures import load_picture
from pamiq_exp.interaction import Array, Environment, Observation, continual
from pamiq_exp.seeding import numpy_generator

logger = logging.getLogger(__name__)

Order = Literal["shuffled", "sorted", "random"]


class PictureFolder(Environment):
    """Shows pictures, a new one each turn, for learning from pictures without a body.

    It observes `image`, `(num_envs, image_size, image_size, 3)` uint8: pictures are cut to a centered square, resized
    and kept in memory. What is done has no effect; nothing ever ends. Files that are no readable pictures are
    skipped, with a warning that names them.

    Args:
        path: The folder, and the folders in it.
        image_size: Pixels a side.
        order: `shuffled`: all of them in a new order each time; `sorted`: by name, again and again, environments
        beginning
            at different places; `random`: any of them each time.
        most: At most so many pictures are read.
        num_envs: Pictures seen at once.
        seed: Of the order.

    Raises:
        ValueError: There is no readable picture.
    """

    private = True
    has_rewards = False
    has_episodes = False

    def __init__(
        self, path: str, image_size: int = 64, order: Order = "shuffled", most: int = 10_000, num_envs: int = 1,
        seed: int = 0,
    ) -> None:  # fmt: skip
        if order not in ("shuffled", "sorted", "random"):
            raise ValueError(f"the order of pictures is shuffled, sorted or random, not {order!r}")
        if min(image_size, most, num_envs) < 1:
            raise ValueError("image_size, most and environments of a folder of pictures must be at least 1")
        self._pictures = _load(Path(path), image_size, most)
        self._order, self.num_envs = order, num_envs
        self.observation_space = spaces.Dict({"image": spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)})
        self.action_space = spaces.Discrete(1)
        self._generators = [numpy_generator(seed, f"environment {env}") for env in range(num_envs)]
        self._coming = [self._deal(env) for env in range(num_envs)]
        self._place = 0

    def _deal(self, env: int) -> Array:
        """Return which pictures this environment sees next, in their order."""
        count = len(self._pictures)
        if self._order == "shuffled":
            return self._generators[env].permutation(count)
        if self._order == "random":
            return self._generators[env].integers(count, size=count)
        return (np.arange(count) + env * count // self.num_envs) % count

    def observe(self) -> Observation:
        """See `Environment`."""
        return continual({"image": self._pictures[[coming[self._place] for coming in self._coming]]})

    def affect(self, action: Array) -> None:
        """Show the next pictures, whatever the action."""
        self._place += 1
        if self._place == len(self._pictures):
            self._coming, self._place = [self._deal(env) for env in range(self.num_envs)], 0

    def state(self) -> State:
        """Which pictures are coming; the generators are saved by the walker."""
        return {"coming": np.stack(self._coming), "place": self._place}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        if state["coming"].shape != (self.num_envs, len(self._pictures)):
            raise ValueError("the folder of pictures holds more or fewer pictures than when the run was saved")
        self._coming, self._place = list(state["coming"]), int(state["place"])


def _load(folder: Path, size: int, most: int) -> Array:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    pictures: list[Array] = []
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    for file in files:
        if len(pictures) == most:
            logger.warning("%s holds more than %d files: the rest is left out", folder, most)
            break
        try:
            pictures.append(load_picture(file, size, folder))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            logger.warning("skipped %s: %s", file, error)
    if not pictures:
        raise ValueError(f"there is no readable picture in {folder}; put png, jpg or other pictures there")
    return np.stack(pictures)
