"""Choice of the image of each noisy tile: a pure function of seed, tile and tick, without generator state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled, inlined

Ints = NDArray[np.int32]

IID, WITHOUT_REPEATS, CYCLE, PIXELS = 0, 1, 2, 3
"""How a source of noise turns ticks into images."""

TICK = np.uint32(0x9E3779B1)
"""Spreads ticks over 32 bits: 2 ** 32 divided by the golden ratio, made odd."""


class Source(NamedTuple):
    """Tiles whose images are drawn by the same rule.

    Attributes:
        tiles: Which tiles, `(n,)`.
        units: Tiles with the same unit show the same draw, `(n,)`.
        first: First image of the pool that each tile draws from, `(n,)`; `pool` is how many there are.
        rule: IID, WITHOUT_REPEATS, CYCLE or PIXELS.
        stride: Texels of one image with all its levels.
    """

    tiles: Ints
    units: Ints
    first: Ints
    pool: int
    rule: int
    stride: int


class Sources(NamedTuple):
    """Several sources, concatenated: the tiles of source i are those from `ends[i]` to `ends[i + 1] - 1`.

    `pool`, `rule` and `stride` have a number for each source; the rest is as in `Source`.
    """

    tiles: Ints
    units: Ints
    first: Ints
    ends: NDArray[np.int64]
    pool: NDArray[np.int64]
    rule: NDArray[np.int64]
    stride: NDArray[np.int64]


def join_sources(sources: Sequence[Source]) -> Sources:
    """Concatenate sources."""
    nothing = np.zeros(0, dtype=np.int32)
    return Sources(
        np.concatenate([nothing, *(source.tiles for source in sources)]),
        np.concatenate([nothing, *(source.units for source in sources)]),
        np.concatenate([nothing, *(source.first for source in sources)]),
        np.cumsum([0, *(source.tiles.size for source in sources)]),
        np.array([source.pool for source in sources], dtype=np.int64),
        np.array([source.rule for source in sources], dtype=np.int64),
        np.array([source.stride for source in sources], dtype=np.int64),
    )


@inlined
def one_source(sources: Sources, index: int) -> Source:
    """Return the source at an index."""
    begin, end = sources.ends[index], sources.ends[index + 1]
    return Source(
        sources.tiles[begin:end],
        sources.units[begin:end],
        sources.first[begin:end],
        sources.pool[index],
        sources.rule[index],
        sources.stride[index],
    )


@inlined
def mix(value: np.uint32) -> np.uint32:
    """Scramble 32 bits: a bijection without visible structure.

    Source: the `lowbias32` construction of C. Wellons ("Prospecting for hash functions", 2018) with the
    constants of its public hash-prospector table.
    """
    value = np.uint32(value)
    value ^= value >> np.uint32(16)
    value = np.uint32(value * np.uint32(0x21F0AAAD))
    value ^= value >> np.uint32(15)
    value = np.uint32(value * np.uint32(0x735A2D97))
    value ^= value >> np.uint32(15)
    return np.uint32(value)


@inlined
def draw(unit: int, tick: int, low: np.uint32, high: np.uint32) -> np.uint32:
    """Return 32 random bits: a pure function of the unit, the tick and the 64 bits of an environment's key."""
    turn = np.uint32(high + np.uint32(tick) * TICK)
    return mix(np.uint32(mix(np.uint32(np.uint32(unit) ^ low)) + turn))


@inlined
def below(bits: np.uint32, count: int) -> int:
    """Turn 32 random bits into a whole number from 0 to `count - 1`."""
    return int((np.uint64(bits) * np.uint64(count)) >> np.uint64(32))


@inlined
def draw_without_repeats(unit: int, tick: int, low: np.uint32, high: np.uint32, pool: int) -> int:
    """Draw so that no image comes twice in a row: odd ticks are free, even ones avoid both neighbors."""
    bits = draw(unit, tick, low, high)
    if tick % 2 == 1 or pool < 3:
        return below(bits, pool)
    before = below(draw(unit, tick - 1, low, high), pool)
    after = below(draw(unit, tick + 1, low, high), pool)
    smaller, larger = min(before, after), max(before, after)
    taken = 1 if smaller == larger else 2
    image = below(bits, pool - taken)
    if image >= smaller:
        image += 1
    if taken == 2 and image >= larger:
        image += 1
    return image


@compiled
def draw_independently(
    bases: Ints, ticks: Ints, keys: NDArray[np.uint32], source: Source, bits: NDArray[np.uint32]
) -> None:
    """`draw_images` for the rule IID: one loop that compilers vectorize, one that scatters the result."""
    units, first, tiles = source.units, source.first, source.tiles
    stride, pool = np.uint32(source.stride), np.uint64(source.pool)
    for env in range(bases.shape[0]):
        low, high, tick = keys[env, 0], keys[env, 1], ticks[env, 0]
        for index in range(np.uint64(bits.size)):
            image = np.uint32((np.uint64(draw(units[index], tick, low, high)) * pool) >> np.uint64(32))
            bits[index] = np.uint32((np.uint32(first[index]) + image) * stride)
        own = bases[env]
        for index in range(np.uint64(bits.size)):
            own[np.uint64(tiles[index])] = np.int32(bits[index])


@compiled
def draw_images(bases: Ints, ticks: Ints, keys: NDArray[np.uint32], source: Source) -> None:
    """Choose the image of each tile of a source.

    Args:
        bases: `(num_envs, tiles)`: where each tile's image begins in the texels; a negative number is the key
            of random pixels instead.
        ticks: `(num_envs, 1)`, or `(num_envs, units)` where each unit has its own time.
        keys: `(num_envs, 2)`: the seed of each environment.
    """
    stride, pool = np.int32(source.stride), np.uint64(source.pool)
    own_time = ticks.shape[1] > 1
    bits = np.empty(source.tiles.size, np.uint32)
    if source.rule == IID and not own_time:
        draw_independently(bases, ticks, keys, source, bits)
        return
    for env in range(bases.shape[0]):
        low, high = keys[env, 0], keys[env, 1]
        tick = ticks[env, 0] if source.rule != CYCLE else 0
        for index in range(bits.size):
            bits[index] = draw(source.units[index], tick, low, high)
        for index in range(bits.size):
            unit = source.units[index]
            if own_time:
                tick = ticks[env, unit]
                bits[index] = draw(unit, tick if source.rule != CYCLE else 0, low, high)
            image = np.int32((np.uint64(bits[index]) * pool) >> np.uint64(32))
            if source.rule == CYCLE:
                image = np.int32((image + ticks[env, unit if own_time else 0]) % source.pool)
            elif source.rule == WITHOUT_REPEATS:
                image = np.int32(draw_without_repeats(unit, tick, low, high, source.pool))
            base = (source.first[index] + image) * stride
            if source.rule == PIXELS:
                base = np.int32(bits[index] | np.uint32(0x80000000))
            bases[env, np.uint64(source.tiles[index])] = base


@compiled
def mark_seen(tiles: Ints, unit: Ints, seen: NDArray[np.bool_]) -> None:
    """Mark the units that some pixel shows. `tiles` is `(num_envs, width, height)`, `seen` is `(num_envs, units)`."""
    for env in range(tiles.shape[0]):
        for column in range(tiles.shape[1]):
            for row in range(tiles.shape[2]):
                index = unit[tiles[env, column, row]]
                if index >= 0:
                    seen[env, index] = True
