"""Builds the arrays that the renderer reads from map, noise and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world import drawing, materials, things
from pamiq_exp.environments.noise_world.moving import sine
from pamiq_exp.environments.noise_world.options import ImageOptions, NoiseOptions
from pamiq_exp.environments.noise_world.pictures import load_folder
from pamiq_exp.environments.noise_world.rendering import DARKNESS, FLICKERS, STRETCHED, UNPREDICTABLE, Camera, Scene
from pamiq_exp.environments.noise_world.surfaces import NoisyTiles, Surfaces
from pamiq_exp.seeding import derive_seed

LIGHT = (1.0, 0.86, 0.94, 0.78)
"""Brightness of walls that face west, north, east and south (seen looking east, south, west, north)."""

MIN_LEVEL_SIZE = 4


@dataclass(frozen=True)
class NoiseSource:
    """A source of noise and its changes per step, an exact fraction: ticks do not drift in a long run."""

    source: drawing.Source
    changes_per_step: Fraction

    def ticks(self, step: int) -> int:
        """Return how many changes have happened after `step` steps."""
        return step * self.changes_per_step.numerator // self.changes_per_step.denominator


def changes_per_step(rate_hz: float, time_step: float) -> Fraction:
    """Return the number of changes in one step, exactly as the two numbers are written."""
    return Fraction(str(rate_hz)) * Fraction(str(time_step))


@dataclass(frozen=True)
class Stage:
    """The static parts of a world: the scene with closed and with open gates, its noise and its plain images.

    Attributes:
        sources: The sources of noise.
        bases: The plain image of each tile, `(tiles,)`.
        stride: Texels of one image, and the distance from the image of a lamp that is off to that of one that is on.
        paint: Puts all pictures into the texels when it is first called. It takes longer than all the rest, and is not
            needed to describe a world.
    """

    closed: Scene
    opened: Scene
    sources: tuple[NoiseSource, ...]
    bases: NDArray[np.int32]
    stride: int
    paint: Callable[[], None]


def level_starts(size: int) -> tuple[NDArray[np.int32], int]:
    """Return where each level of detail begins inside the texels of a picture, and how many texels that has."""
    sizes = []
    while size >= MIN_LEVEL_SIZE:
        sizes.append(size * size)
        size //= 2
    starts = np.cumsum([0, *sizes], dtype=np.int32)
    return starts[:-1], int(starts[-1])


def mip_levels(pictures: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Pack pictures `(n, size, size, 3)` with all their coarser levels into texels.

    Each level halves the one before, by integer means of four pixels.
    """
    levels = []
    level = pictures.astype(np.uint32)
    while level.shape[1] >= MIN_LEVEL_SIZE:
        packed = level[..., 0] | (level[..., 1] << np.uint32(8)) | (level[..., 2] << np.uint32(16))
        levels.append(packed.reshape(len(pictures), -1))
        level = (level[:, ::2, ::2] + level[:, 1::2, ::2] + level[:, ::2, 1::2] + level[:, 1::2, 1::2] + 2) // 4
    return np.concatenate(levels, axis=1).reshape(-1)


def make_camera(
    size: int, field_of_view: float, eye_height: float, ceiling_height: float, surfaces: Surfaces, texture: int
) -> Camera:
    """Return the camera of a square picture. The field of view is in degrees."""
    half = 0.5 * field_of_view
    tangent = sine(half) / sine(half + 90.0)
    slope: NDArray[np.float64] = np.array([(1.0 - (2.0 * index + 1.0) / size) * tangent for index in range(size)])
    level_row = slope == 0.0
    reach = np.where(level_row, 0.0, 1.0 / np.where(level_row, 1.0, np.abs(slope)))
    below = slope < 0.0
    distance = reach * np.where(below, eye_height, ceiling_height - eye_height)
    across = distance * (2.0 * tangent / size)
    along = distance * across / np.where(below, eye_height, ceiling_height - eye_height)
    level = coarseness(np.sqrt(across * along) * texture, texture)
    bits = texture.bit_length() - 1
    starts = np.cumsum([0, *((texture >> index) ** 2 for index in range(bits))]).astype(np.int32)
    return Camera(
        column=-slope,
        slope=slope,
        reach=reach,
        first_tile=np.where(below, 0, surfaces.cells).astype(np.int32),
        level=level,
        level_start=starts[level],
        level_bits=(bits - level).astype(np.int32),
        shade=(256.0 / (1.0 + DARKNESS * distance)).astype(np.uint32),
    )


def coarseness(texels: NDArray[np.float64], texture: int) -> NDArray[np.int32]:
    """Return the level of detail where one pixel covers that many texels of the finest level a side."""
    last = (texture // MIN_LEVEL_SIZE).bit_length() - 1
    coarser = [texels > 1.5 * 2**level for level in range(last)]
    level: NDArray[np.int32] = np.array(coarser, dtype=np.int32).sum(axis=0, dtype=np.int32)
    return level


@lru_cache(maxsize=8)
def pool_pictures(images: ImageOptions, count: int, seed: int) -> NDArray[np.uint8]:
    """Return the pictures that noise shows, `(count, size, size, 3)` uint8."""
    if images.source == "folder":
        return load_folder(images.folder, count, images.size)
    from pamiq_exp.environments.noise_world.food import food_pictures

    return food_pictures(count, images.size, seed)


def build_stage(
    surfaces: Surfaces,
    noisy: list[NoisyTiles],
    noise: NoiseOptions,
    images: ImageOptions,
    *,
    plain: bool,
    ceiling_height: float,
    open_sky: bool,
    pixel_angle: float,
    time_step: float,
    seed: int,
) -> Stage:
    """Build the stage of a world.

    `pixel_angle` is the width of a pixel at one meter, in meters; `time_step` is in seconds.
    """
    size, screen = images.size, surfaces.tiles
    needs_pool = noise.mode != "pixel" and (
        any(not group.blocks for group in noisy) or noise.overlay in ("quadrant", "full")
    )
    pool, pictures = _pool(images, noise.pool if needs_pool else 0, derive_seed(seed, "pictures"))
    rooms = None if plain else surfaces.map.room_count
    look = _plain_looks(surfaces, plain=plain)
    made = things.make_things(surfaces.map)
    level_start, stride = level_starts(size)
    first_thing = pool + 2 + 3 * (1 if rooms is None else rooms + 1)
    texels = np.zeros((first_thing + 4) * stride, dtype=np.uint32)
    thing_bases = (first_thing + np.arange(4)) * stride
    first_look = np.array([0, 1, 3])[made.kind]
    bases = np.concatenate([(look + pool) * stride, thing_bases[first_look]]).astype(np.int32)
    mapping = np.zeros((bases.size, 4))
    flags = np.zeros(bases.size, dtype=np.uint8)
    sources = [_source(group, noise, pool, stride, size, time_step, mapping, flags) for group in noisy]
    if noise.overlay in ("quadrant", "full"):
        sources.append(_source(_whole_screen(screen, noise), noise, pool, stride, size, time_step, mapping, flags))
    bits = size.bit_length() - 1
    scene = Scene(
        face=surfaces.face,
        mapping=mapping,
        stretched=bool((flags & STRETCHED).any()),
        flags=flags,
        texels=texels,
        level_start=level_start,
        level_distance=_level_distances(len(level_start), size, pixel_angle),
        bits=bits,
        wall_height=surfaces.wall_height,
        ceiling_height=ceiling_height,
        light=np.array([LIGHT[face.direction] for face in surfaces.faces]),
        sky_tile=surfaces.sky if open_sky else -1,
        screen=(screen, -1, -1),
        things=made,
    )

    @cache
    def paint() -> None:
        if pool:
            texels[: pool * stride] = mip_levels(pictures())
        texels[pool * stride :] = _plain_texels(rooms, size, derive_seed(seed, "materials"))

    return Stage(scene, scene._replace(face=surfaces.face_open), tuple(sources), bases, stride, paint)


def with_screen(stage: Stage, overlay: str, image_size: int) -> Stage:
    """Return the stage with noise on the screen: on all of it, its lower right quarter, or nowhere."""
    if overlay == "none":
        return stage
    first = image_size // 2 if overlay == "quadrant" else 0
    screen = (stage.closed.screen[0], first, first)
    closed, opened = stage.closed._replace(screen=screen), stage.opened._replace(screen=screen)
    return replace(stage, closed=closed, opened=opened)


def _pool(images: ImageOptions, count: int, seed: int) -> tuple[int, Callable[[], NDArray[np.uint8]]]:
    """Return how many pictures noise shows, and a function that returns them."""
    if count and images.source == "folder":  # loaded at once, to report a wrong folder
        count = len(pool_pictures(images, count, seed))
    return count, lambda: pool_pictures(images, count, seed)


def _level_distances(levels: int, size: int, pixel_angle: float) -> NDArray[np.float64]:
    return np.array([1.5 * 2.0**level / (size * pixel_angle) for level in range(levels - 1)])


def _plain_looks(surfaces: Surfaces, *, plain: bool) -> NDArray[np.int64]:
    """Return which picture of all materials each tile has (sky and screen included)."""
    kind = np.full(surfaces.tiles, 0)
    kind[surfaces.cells : 2 * surfaces.cells] = 2
    kind[: surfaces.cells] = 1
    look = np.zeros(surfaces.tiles + 1, dtype=np.int64)
    look[:-1] = 2 + kind + (0 if plain else 3 * (surfaces.room + 1))
    look[surfaces.sky], look[-1] = 0, 1
    return look


@lru_cache(maxsize=8)  # a run has several worlds that look alike
def _plain_texels(rooms: int | None, size: int, seed: int) -> NDArray[np.uint32]:
    """Return the texels of what is no noise: sky, screen, all materials (of each room, or the plain ones), things."""
    looks = [materials.clouds(size, seed), np.zeros((size, size, 3))]
    if rooms is None:
        looks += materials.plain_surfaces(size)
    else:
        looks += [each for room in range(-1, rooms) for each in materials.room_surfaces(room, size, seed)]
    shown = [*(np.floor(each * 255.0 + 0.5).astype(np.uint8) for each in looks), *things.looks(size)]
    return np.concatenate([mip_levels(each[None]) for each in shown])  # one at a time fits into a processor's cache


def _whole_screen(screen: int, noise: NoiseOptions) -> NoisyTiles:
    one = np.array([screen], dtype=np.int32)
    return NoisyTiles(one, one, one * 0, 1, np.zeros((1, 4)), False, 0, noise.rate_hz)


def _source(
    group: NoisyTiles,
    noise: NoiseOptions,
    pool: int,
    stride: int,
    size: int,
    time_step: float,
    mapping: NDArray[np.float64],
    flags: NDArray[np.uint8],
) -> NoiseSource:
    """Return noisy tiles as a source, and write their texture coordinates and flags."""
    rule = drawing.IID if noise.replace else drawing.WITHOUT_REPEATS
    if noise.mode == "cycle":
        rule = drawing.CYCLE
    if noise.mode == "pixel" or group.blocks:
        rule = drawing.PIXELS
    rate = 0.0 if noise.mode == "static" else group.rate_hz
    mapping[group.tiles] = group.mapping * (group.blocks or size)
    if group.stretched:
        flags[group.tiles] |= STRETCHED
    if rate > 0.0:
        flags[group.tiles] |= FLICKERS if rule == drawing.CYCLE else FLICKERS | UNPREDICTABLE
    share = max(pool // group.parts, 1)
    first = np.minimum(group.part * share, max(pool - share, 0)).astype(np.int32)
    source = drawing.Source(group.tiles, group.units, first, share, rule, stride)
    return NoiseSource(source, changes_per_step(rate, time_step))
