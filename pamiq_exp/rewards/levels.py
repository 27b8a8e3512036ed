"""How much each of several levels counts."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

LevelScheme: TypeAlias = Literal["maximize", "minimize", "maximize_top", "lerp_min_max", "lerp_max_min", "top_only"]


def level_coefficients(levels: int, scheme: LevelScheme) -> NDArray[np.float32]:
    """Return one coefficient for each level, from the lowest to the highest.

    Args:
        levels: Their number.
        scheme: `maximize` all +1, `minimize` all -1, `maximize_top` -1 but +1 at the top, `lerp_min_max` evenly from -1
            to +1, `lerp_max_min` the other way round, `top_only` 0 but +1 at the top.

    Raises:
        ValueError: For no levels or an unknown scheme.
    """
    if levels < 1 or scheme not in get_args(LevelScheme):
        raise ValueError(f"there must be levels, and a scheme of {', '.join(get_args(LevelScheme))}, not {scheme!r}")
    top = np.zeros(levels)
    top[-1] = 1
    even = np.linspace(-1, 1, levels) if levels > 1 else top
    known = {
        "maximize": np.ones(levels),
        "minimize": -np.ones(levels),
        "maximize_top": 2 * top - 1,
        "lerp_min_max": even,
        "lerp_max_min": -even if levels > 1 else top,
        "top_only": top,
    }
    return known[scheme].astype(np.float32)
