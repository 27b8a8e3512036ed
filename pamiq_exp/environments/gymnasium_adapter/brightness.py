"""Pictures whose numbers are brightness, or perhaps symbols such as MiniGrid's."""

from __future__ import annotations

import gymnasium
import numpy as np

_SYMBOLS = 40
"""Largest number of a picture that is suspected to hold symbols in place of brightness."""


def is_brightness(space: gymnasium.spaces.Box) -> bool:
    """Whether a part of an observation is a picture of bytes up to 255."""
    return space.dtype == np.uint8 and int(space.high.max()) == 255


def may_be_symbols(most: int) -> bool:
    """Whether a picture that reaches no further may hold symbols."""
    return 0 < most <= _SYMBOLS


def symbols_warning(name: str, most: int) -> str:
    """Return what to say of the picture of a name that reaches no further than `most`."""
    return (
        f"the picture {name} reaches {most}, declared up to 255: if its numbers are symbols and not brightness, models "
        "see almost no contrast; a wrapper can declare the true bounds"
    )
