"""A television that shows noise in a corner of the view."""

from __future__ import annotations

from typing import Any, Literal, SupportsFloat

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.overlays.overlay import Env, Frame, Info, PixelOverlay
from pamiq_exp.environments.overlays.pictures import picture_set
from pamiq_exp.environments.overlays.remote import with_button, without_button

Shows = Literal["pictures", "pixels"]
Corner = Literal["upper left", "upper right", "lower left", "lower right"]


class NoisyTV(PixelOverlay):
    """A television in a corner of the view, whatever the agent looks at (as in Savinov et al. 2019).

    It changes with every step or, with a remote control, when the agent presses it; until the first press of an
    episode it is black. The remote is one more action of a Discrete action space (the world sees `idle_action`
    meanwhile), one more branch of a MultiDiscrete, one more dimension of a Box (pressed when above 0).

    Args:
        env: The environment, see `PixelOverlay`.
        shows: `pictures`, one of `pool` drawn uniformly, or `pixels`, each of them uniform.
        corner: Where it stands.
        share: Its part of the height and of the width.
        pool: Number of pictures.
        path: A folder of pictures; by default painted dishes.
        remote: Whether the agent has the remote control.
        idle_action: What a Discrete world does while the remote is pressed; it should do nothing. None is MiniGrid's
            `done`, and 0 elsewhere.
        key: Name of the picture, see `PixelOverlay`.
    """

    def __init__(
        self,
        env: Env,
        shows: Shows = "pictures",
        corner: Corner = "lower right",
        share: float = 0.5,
        pool: int = 30,
        path: str | None = None,
        remote: bool = False,
        idle_action: int | None = None,
        key: str | None = None,
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, shows=shows, corner=corner, share=share, pool=pool, path=path, remote=remote,
            idle_action=idle_action, key=key,
        )  # fmt: skip
        if shows not in ("pictures", "pixels"):
            raise ValueError(f"a noisy TV shows pictures or pixels, not {shows!r}")
        vertical, _, horizontal = corner.partition(" ")
        if vertical not in ("upper", "lower") or horizontal not in ("left", "right"):
            raise ValueError(
                f"corner must be 'lower right', 'lower left', 'upper right' or 'upper left', not {corner!r}"
            )
        if not 0 < share <= 1 or pool < 1:
            raise ValueError(f"share must be in (0, 1] and pool at least 1, not {share} and {pool}")
        super().__init__(env, key)
        self._lower, self._right, self._share = vertical == "lower", horizontal == "right", share
        self._pictures = picture_set(path, pool) if shows == "pictures" else None
        self._remote, self._idle = remote, idle_action or 0
        if remote:
            self.action_space = with_button(env.action_space)
            self._idle = _done_action(env) if idle_action is None else idle_action

    def begin(self) -> None:
        """A television without remote control is on; one with a remote control is off."""
        self._draw = None
        if not self._remote:
            self.redraw()

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, Info]:
        """Step the environment; without a press of its remote control the television stays as it is."""
        if not self._remote:
            return super().step(action)
        inner, pressed = without_button(self.env.action_space, action, self._idle)
        observation, reward, terminated, truncated, info = self.env.step(inner)
        if pressed:
            self.redraw()
        shown, new_info = self._shown(observation, info)
        return shown, reward, terminated, truncated, new_info

    def cover(self, picture: Frame, random: np.random.Generator | None) -> NDArray[np.bool_]:
        """See `PixelOverlay`."""
        height, width, channels = picture.shape
        rows, columns = max(round(height * self._share), 1), max(round(width * self._share), 1)
        top, left = (height - rows) * self._lower, (width - columns) * self._right
        screen = picture[top : top + rows, left : left + columns]
        if random is None:
            screen[:] = 0
        elif self._pictures is None:
            screen[:] = random.integers(0, 256, screen.shape, dtype=np.uint8)
        else:
            screen[:] = self._pictures.resized(int(random.integers(len(self._pictures))), rows, columns, channels)
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[top : top + rows, left : left + columns] = True
        return mask


def _done_action(env: Env) -> int:
    """Return the number of an environment's action `done`, by which MiniGrid does nothing; 0 where there is none."""
    done = getattr(getattr(env.unwrapped, "actions", None), "done", None)
    return int(done) if isinstance(done, int) else 0
