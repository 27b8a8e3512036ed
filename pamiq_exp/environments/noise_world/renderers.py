"""Two ways to render the same views: compiled for the processor, or batched for an accelerator."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
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


class Worker:
    """A thread that does one job after another: begun and waited for with one lock each, as there is so little to do
    that the queue and the futures of an executor would cost a tenth of it."""

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._job: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="noise_world", daemon=True)
        self._thread.start()

    def begin(self, job: Callable[[], None]) -> None:
        """Let it do a job. Wait for it before the next one."""
        self._job = job
        self._go.release()

    def wait(self) -> None:
        """Wait until the job is done; raise what it raised."""
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread."""
        self._job = None
        self._go.release()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._go.acquire()
            if self._job is None:
                return
            try:
                self._job()
            except BaseException as error:
                self._error = error
            self._done.release()


class NumbaRenderer(Renderer):
    """The compiled raycaster.

    Args:
        threads: How many threads share the lanes.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._workers: list[Worker] = []

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
        if self._threads == 1 or lanes == 1:
            rendering.render(*arguments, 0, lanes, views)
            return views
        shares = np.linspace(0, lanes, min(self._threads, lanes) + 1).astype(int).tolist()
        first, *others = pairwise(shares)
        self._workers += [Worker() for _ in range(len(others) - len(self._workers))]
        for worker, share in zip(self._workers, others, strict=False):
            worker.begin(partial(rendering.render, *arguments, *share, views))
        try:
            rendering.render(*arguments, *first, views)
        finally:
            for worker in self._workers[: len(others)]:
                worker.wait()
        return views

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._workers = []


def make_renderer(name: str, threads: int, device: str) -> Renderer:
    """Return the renderer of that name. Raises ValueError for an unknown name or device."""
    one_of(name, RENDERERS, "environment.renderer")
    if name == "numba":
        return NumbaRenderer(threads)
    from pamiq_exp.environments.noise_world.batched import TorchRenderer

    return TorchRenderer(device)
