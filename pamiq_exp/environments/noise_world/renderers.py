"""Two ways to render the same views: compiled for the processor, or batched for an accelerator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world import rendering
from pamiq_exp.environments.noise_world.options import one_of
from pamiq_exp.environments.noise_world.rendering import Camera, Scene, Views

RENDERERS = ("numba", "torch")

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]


class Renderer(ABC):
    """Renders the views of many lanes at once."""

    @abstractmethod
    def render(
        self, scene: Scene, camera: Camera, poses: Floats, things: Floats, bases: Ints, *, measured: bool
    ) -> Views:
        """Return pictures in fresh arrays and, if `measured`, tile, depth and flags of each pixel.

        Args:
            poses: x, y, cosine and sine of the heading, eye height, `(lanes, 5)`.
            things: State of all things, `(lanes, things, THING_SIZE)`.
            bases: Where the image of each tile begins in the texels, `(lanes, tiles)`.
        """

    def close(self) -> None:
        """Give back threads."""


class NumbaRenderer(Renderer):
    """The compiled raycaster.

    Args:
        threads: How many threads share the lanes.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def render(
        self, scene: Scene, camera: Camera, poses: Floats, things: Floats, bases: Ints, *, measured: bool
    ) -> Views:
        lanes, size = len(poses), camera.slope.size
        shape = (lanes if measured else 0, size, size)
        views = Views(
            np.empty((lanes, size, size, 3), np.uint8),
            np.empty(shape, np.int32),
            np.empty(shape, np.float32),
            np.empty(shape, np.uint8),
        )
        arguments = scene, camera, poses, things, bases
        shares = np.linspace(0, lanes, min(self._threads, lanes) + 1).astype(int).tolist()
        if len(shares) > 2 and self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads - 1, "noise_world")
        first, *others = pairwise(shares)
        waiting = [self._pool.submit(rendering.render, *arguments, *share, views) for share in others if self._pool]
        rendering.render(*arguments, *first, views)
        for share in waiting:
            share.result()
        return views

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def make_renderer(name: str, threads: int, device: str) -> Renderer:
    """Return the renderer of that name. Raises ValueError for an unknown name or device."""
    one_of(name, RENDERERS, "environment.renderer")
    if name == "numba":
        return NumbaRenderer(threads)
    from pamiq_exp.environments.noise_world.batched import TorchRenderer

    return TorchRenderer(device)
