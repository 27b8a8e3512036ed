"""Videos of what one environment shows, for people to watch."""

from __future__ import annotations

import logging

import numpy as np

from pamiq_exp.every import Every
from pamiq_exp.interaction.map_picture import Frame, MapPicture, fitted, picture, picture_key
from pamiq_exp.interaction.observer import StepObserver, Turn
from pamiq_exp.media import Media, Picture, Video

logger = logging.getLogger(__name__)


class VideoRecorder(StepObserver):
    """Records short films of what one environment shows, enlarged pixel by pixel.

    That is the picture among its observations, or else what it renders. The first turn also becomes a picture,
    which is there at once.

    Where the environment's ground truth has `pose` and `reachable`, a map with the agent's path lies beside
    the view. Environments that show and render no picture are left alone.

    Args:
        every_steps: Environment steps (of all environments together) from the start of one film to the next; the
            first film begins with the first step.
        length: Turns in a film.
        environment: Whose eyes.
        key: Name of the picture among the observations; None takes the first one.
        size: Height of the film in pixels, a multiple of 16; views are enlarged by whole numbers up to it, or shrunk.
        frames_per_second: Speed at which the film is shown.
        cell: Side of the cells of `reachable`, in meters.
        name: What the films are called; the picture is `NAME first`.
    """

    def __init__(
        self,
        every_steps: int = 20_000,
        length: int = 100,
        env: int = 0,
        key: str | None = None,
        size: int = 256,
        frames_per_second: float = 10.0,
        cell: float = 0.25,
        name: str = "view",
    ) -> None:
        if every_steps < 1 or length < 1:
            raise ValueError("every_steps and length of a video recorder must be at least 1")
        if size < 16 or size % 16:
            raise ValueError(f"the size of a film must be a multiple of 16, not {size}")
        self._length, self._env, self._key = length, env, key
        self._size, self._rate, self._cell, self._name = size, frames_per_second, cell, name
        self._steps = 0
        self._starts = Every(every_steps, first=0)
        self._frames: Frame | None = None
        self._count = 0
        self._finished: list[Media] = []
        self._map: MapPicture | None = None

    def on_step(self, turn: Turn) -> None:
        num_envs = len(turn.observation.reward)
        if self._map is None and "pose" in turn.ground_truth and "reachable" in turn.ground_truth:
            self._map = MapPicture(turn.ground_truth["reachable"], self._cell, self._size)
        if self._map is not None:
            self._map.walk(turn.ground_truth["pose"][self._env])
        if self._frames is None and self._starts.due(self._steps):
            self._start(turn)
        if (frames := self._frames) is not None:
            self._take(turn)
            if self._steps == 0:
                self._finished.append(Picture(f"{self._name} first", frames[0].copy()))
        self._steps += num_envs

    def _start(self, turn: Turn) -> None:
        self._starts.done(self._steps)
        self._key = self._key or picture_key(turn.observation.values)
        view = self._view(turn)
        if view is None:
            logger.info("no film: this environment shows no picture")
            self._starts = Every(None)
            return
        width = view.shape[1] + (self._size if self._map is not None else 0)
        self._frames = np.zeros((self._length, self._size, width + width % 2, 3), dtype=np.uint8)
        self._count = 0

    def _take(self, turn: Turn) -> None:
        assert self._frames is not None
        frame, view = self._frames[self._count], self._view(turn)
        assert view is not None
        top = (self._size - view.shape[0]) // 2
        frame[top : top + view.shape[0], : view.shape[1]] = view
        if self._map is not None:
            self._map.draw(frame[:, view.shape[1] : view.shape[1] + self._size], turn.ground_truth["pose"], self._env)
        self._count += 1
        if self._count == self._length:
            self._finished.append(Video(self._name, self._frames, self._rate))
            self._frames = None

    def _view(self, turn: Turn) -> Frame | None:
        if self._key is not None:
            return fitted(picture(turn.observation.values[self._key][self._env]), self._size)
        rendered = turn.environment.render()
        return None if rendered is None else fitted(picture(rendered[self._env]), self._size)

    def teardown(self) -> None:
        """End the film that is being recorded."""
        if self._frames is not None and self._count > 1:
            self._finished.append(Video(self._name, self._frames[: self._count], self._rate))
        self._frames = None

    def media(self) -> list[Media]:
        finished, self._finished = self._finished, []
        return finished
