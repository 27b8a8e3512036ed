"""Renderers of the same views: compiled for processors, batched for accelerators, and one that renders nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import HAS_NUMBA
from pamiq_exp.environments.noise_world import rendering
from pamiq_exp.environments.noise_world.options import one_of
from pamiq_exp.environments.noise_world.renderer import Floats, Ints, Renderer
from pamiq_exp.environments.noise_world.rendering import Camera, Scene, Views
from pamiq_exp.environments.noise_world.turns import Setting, act, empty_views, pack, run_turn

RENDERERS = ("numba", "torch")


class Worker:
    """A thread that runs one job after another.

    It uses a lock for the start and one for the end of a job: the queue and futures of an executor would add a tenth to
    the time of a turn.
    """

    def __init__(self) -> None:
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        self._job: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="noise_world", daemon=True)
        self._thread.start()

    def begin(self, job: Callable[[], None]) -> None:
        """Start a job. Call `wait` before the next one."""
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
        threads: Number of threads that share the environments.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._workers: list[Worker] = []
        self._shares: dict[Setting, list[tuple[Setting, int, int]]] = {}

    def turn(self, setting: Setting, *, moves: bool, measured: bool) -> Views:
        views = empty_views(len(setting.envs.agents), setting.camera.slope.size, measured=measured)
        own, *others = self._shares.get(setting) or self._share(setting)
        for worker, share in zip(self._workers, others, strict=True):
            worker.begin(partial(run_turn, *share, moves, views.frame, views.tile, views.depth, views.flags))
        try:
            run_turn(*own, moves, views.frame, views.tile, views.depth, views.flags)
        finally:
            for worker in self._workers:
                worker.wait()
        return views

    def _share(self, setting: Setting) -> list[tuple[Setting, int, int]]:
        num_envs = len(setting.envs.agents)
        ends = np.linspace(0, num_envs, min(self._threads, num_envs) + 1).astype(int).tolist()
        self._shares[setting] = [(pack(setting), first, last) for first, last in pairwise(ends)]
        self._workers += [Worker() for _ in range(len(ends) - 2 - len(self._workers))]
        return self._shares[setting]

    def render(self, scene: Scene, camera: Camera, poses: Floats, things: Floats, bases: Ints) -> NDArray[np.uint8]:
        views = empty_views(len(poses), camera.slope.size, measured=False)
        rendering.render(scene, camera, poses, things, bases, 0, len(poses), views)
        return views.frame

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._workers = []
        self._shares = {}


class MotionOnly(Renderer):
    """Moves environments on without rendering."""

    def __init__(self) -> None:
        self._packed: dict[Setting, Setting] = {}

    def turn(self, setting: Setting, *, moves: bool, measured: bool) -> Views:
        if setting not in self._packed:
            self._packed[setting] = pack(setting)
        if moves:
            act(self._packed[setting], 0, len(setting.envs.agents))
        return empty_views(0, 1, measured=False)

    def render(self, scene: Scene, camera: Camera, poses: Floats, things: Floats, bases: Ints) -> NDArray[np.uint8]:
        raise RuntimeError("rendering was stopped (stop_rendering)")


def make_renderer(name: str, threads: int, device: str) -> Renderer:
    """Return the renderer of that name. Raises ValueError for an unknown name or device."""
    one_of(name, RENDERERS, "environment.renderer")
    if name == "numba" and not HAS_NUMBA:
        raise ValueError(
            "environment.renderer=numba needs the package numba, which is not installed: pip install numba, "
            "or choose environment.renderer=torch"
        )
    if name == "numba":
        return NumbaRenderer(threads)
    from pamiq_exp.environments.noise_world.batched import TorchRenderer

    return TorchRenderer(device)
