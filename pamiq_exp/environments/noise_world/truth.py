"""Ground truth of the noise world, computed when it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled
from pamiq_exp.environments.noise_world.rendering import UNPREDICTABLE
from pamiq_exp.interaction import Array


class GroundTruth(Mapping[str, Array]):
    """A mapping whose values are computed on first use, before the next action.

    Args:
        sources: The function that computes each value.
        still_now: Returns whether the world has not changed since this mapping was made.
    """

    def __init__(self, sources: Mapping[str, Callable[[], Array]], still_now: Callable[[], bool]) -> None:
        self._sources = sources
        self._still_now = still_now
        self._known: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._known:
            source = self._sources[name]
            if not self._still_now():
                raise RuntimeError(f"the world has changed: read '{name}' before the next action")
            self._known[name] = source()
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)

    def __contains__(self, name: object) -> bool:
        return name in self._sources


@compiled
def share_of_noise(flags: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the share of unpredictable pixels, `(num_envs,)`, from flags `(num_envs, width, height)`."""
    shares = np.zeros(flags.shape[0])
    for env in range(flags.shape[0]):
        count = np.int64(0)
        for flag in flags[env].reshape(-1):
            count += np.int64(flag & UNPREDICTABLE)
        shares[env] = count / (flags.shape[1] * flags.shape[2])
    return shares
