"""Playing an environment with the keyboard in a window, or recording a scripted walk."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pamiq_exp.component import Component
from pamiq_exp.extras import install_hint
from pamiq_exp.interaction.environment import Array, Environment
from pamiq_exp.interaction.map_picture import Frame, MapPicture, fitted, picture, picture_key
from pamiq_exp.media import Video
from pamiq_exp.seeding import numpy_generator
from pamiq_exp.spaces import describe_action

QUIT = ("escape", "q")

UNSEEN = ("dummy", "offscreen")
"""Drivers without a visible window; used only if SDL_VIDEODRIVER names them."""

KEY_NAMES = {
    "w": "forward",
    "s": "back",
    "a": "strafe left",
    "d": "strafe right",
    "left": "turn left",
    "right": "turn right",
    "space": "jump",
    "left shift": "run",
    "r": "remote",
}
"""What keys are called in the title of the window."""


class NoDisplayError(RuntimeError):
    """There is no display to open a window on, or nothing to open it with; the message says which."""


class Play(Component):
    """Shows a world and lets a person act in it: the same action in all environments, with the view of the first.

    Args:
        environment: The world, with a picture among its observations.
        frames_per_second: Turns in a second of the window and the film.
        size: Height of the view in pixels, a multiple of 16.
        cell: Side of the cells of the truth's `reachable`, in meters: for the map beside the view.

    Raises:
        ValueError: The world shows no picture, or no keys are known for it.
    """

    def __init__(
        self, environment: Environment, frames_per_second: float = 10.0, size: int = 384, cell: float = 0.25
    ) -> None:
        self.environment = environment
        self._rate, self._size, self._cell = frames_per_second, size, cell
        self._keys = dict(environment.keyboard()) or _number_keys(environment)
        self._map: MapPicture | None = None
        self._picture = picture_key(environment.observe().values) or ""
        if not self._picture:
            raise ValueError("this environment shows no picture that could be walked through")
        if not self._keys:
            raise ValueError("no keys are known for this environment: its class must say them (`keyboard`)")

    def in_window(self, turns: int | None = None) -> int:
        """Open a window and follow the keys until it is closed, or for so many turns; return the turns taken.

        Raises:
            NoDisplayError: There is no display, or pygame is not installed.
        """
        pygame = _pygame()
        try:
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in UNSEEN and os.environ.get("SDL_VIDEODRIVER") != driver:
                pygame.display.quit()
                raise NoDisplayError("no window can be opened here: there is no display")
            screen = pygame.display.set_mode(self.frame().shape[1::-1])
        except pygame.error as error:
            raise NoDisplayError(f"no window can be opened here: {error}") from None
        names = "  ".join(f"{key}: {KEY_NAMES[key]}" for key in self._keys if key in KEY_NAMES)
        pygame.display.set_caption(f"{names}  q: leave" if names else "q: leave")
        codes = {key: pygame.key.key_code(key) for key in (*self._keys, *QUIT)}
        clock, taken = pygame.time.Clock(), 0
        try:
            while taken != turns and not _is_over(pygame, codes):
                screen.blit(pygame.surfarray.make_surface(self.frame().swapaxes(0, 1)), (0, 0))
                pygame.display.flip()
                held = pygame.key.get_pressed()
                self.act([key for key in self._keys if held[codes[key]]])
                clock.tick(self._rate)
                taken += 1
        finally:
            pygame.display.quit()
        return taken

    def film(self, turns: int = 200, seed: int = 0) -> Video:
        """Let a script walk: once around, then on and on, another way wherever there is no way."""
        walk = Walk(self._keys, seed)
        frames = []
        for turn in range(turns):
            frames.append(self.frame())
            truth = self.environment.ground_truth()
            place = tuple(truth["pose"][0, :2]) if "pose" in truth else None
            self.act(walk.keys(turn, place))
        return Video("walk", np.stack(frames), self._rate)

    def act(self, keys: Collection[str]) -> None:
        """Take one step with these keys held down."""
        action = describe_action(self.environment.action_space)
        chosen: Array = np.zeros((self.environment.num_envs, *action["shape"]), dtype=action["dtype"])
        for key in keys:
            for branch, choice in self._keys[key]:
                chosen[:, branch] = choice
        self.environment.affect(chosen)

    def frame(self) -> Frame:
        """Return what is seen now, `(height, width, 3)`: the view, and a map beside it where the world has one."""
        seen = picture(self.environment.observe().values[self._picture][0])
        view = fitted(seen, self._size)
        truth = self.environment.ground_truth()
        if "pose" not in truth or "reachable" not in truth:
            return view
        if self._map is None:
            self._map = MapPicture(truth["reachable"], self._cell, view.shape[0])
        self._map.walk(truth["pose"][0])
        beside = np.zeros((view.shape[0], view.shape[0], 3), dtype=np.uint8)
        self._map.draw(beside, truth["pose"], 0)
        return np.concatenate([view, beside], axis=1)


class Walk:
    """A walk by script: looks around once, then goes ahead and turns away from walls, and now and then anyway.

    Args:
        keys: The keys that there are.
        seed: Of the turns.
    """

    LOOK_AROUND = 24
    """Turns of the first look around."""

    def __init__(self, keys: Collection[str], seed: int) -> None:
        self._known = set(keys)
        self._generator = numpy_generator(seed, "walk")
        self._before: Any = None
        self._went = False
        self._turning = 0
        self._side = "right"

    def keys(self, turn: int, place: tuple[float, float] | None) -> list[str]:
        """Return the keys to hold in this turn, given the agent's position."""
        if "w" not in self._known:
            names = sorted(self._known)
            return [names[int(self._generator.integers(len(names)))]]
        wanted = self._wanted(turn, place)
        self._before, self._went = place, "w" in wanted
        if turn % 7 == 6:
            wanted.append("r")
        return [key for key in wanted if key in self._known]

    def _wanted(self, turn: int, place: tuple[float, float] | None) -> list[str]:
        if turn < self.LOOK_AROUND:
            return ["right"]
        if self._turning > 0:
            self._turning -= 1
            return [self._side]
        stuck = self._went and place is not None and math.dist(place, self._before) < 0.1
        if stuck or self._generator.random() < 0.04:
            self._side = "left" if self._generator.random() < 0.5 else "right"
            self._turning = int(self._generator.integers(2, 8))
            return [self._side]
        return ["w"]


def _number_keys(environment: Environment) -> Mapping[str, Sequence[tuple[int, int]]]:
    """Let the digits choose the action where there is one branch with few choices."""
    action = describe_action(environment.action_space)
    choices = action.get("nvec", [])
    return {str(choice): [(0, choice)] for choice in range(choices[0])} if len(choices) == 1 and choices[0] < 11 else {}


def _pygame() -> Any:
    try:
        import pygame
    except ImportError:
        raise NoDisplayError(f"a window needs the package pygame: {install_hint('pygame')}") from None
    return pygame


def _is_over(pygame: Any, codes: Mapping[str, int]) -> bool:
    for event in pygame.event.get():
        leaves = event.type == pygame.KEYDOWN and event.key in (codes[key] for key in QUIT)
        if event.type == pygame.QUIT or leaves:
            return True
    return False
