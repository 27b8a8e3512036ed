"""Base class of renderers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world.rendering import Camera, Scene, Views
from pamiq_exp.environments.noise_world.turns import Setting

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class Renderer(ABC):
    """Base class of renderers: they move many environments on and render what each sees."""

    @abstractmethod
    def turn(self, setting: Setting, *, moves: bool, measured: bool) -> Views:
        """Take one turn in all environments (see `turns.run_turn`) and return what they see, in fresh arrays.

        Tile, depth and flags of each pixel are part of it if `measured`.
        """

    @abstractmethod
    def render(self, scene: Scene, camera: Camera, poses: Floats, things: Floats, bases: Ints) -> NDArray[np.uint8]:
        """Return views from any poses, `(n, height, width, 3)`.

        Args:
            poses: x, y, cosine and sine of the heading, eye height, `(n, 5)`; meters.
            things: State of all things, `(n, things, THING_SIZE)`.
            bases: Where the image of each tile begins in the texels, `(n, tiles)`.
        """

    def close(self) -> None:
        """End the threads."""
