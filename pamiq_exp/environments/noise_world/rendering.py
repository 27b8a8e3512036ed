"""The raycaster: casts rays, finds the tile and texel of each pixel, and colors them.

Everything here is plain arithmetic on arrays. Only operations that IEEE 754 defines exactly are used
(no library sine, no fast-math), so that equal states give equal frames on every machine.

Conventions: x grows to the east (columns of the map), y to the south (rows), both in meters; headings
grow clockwise seen from above; walls are one meter squares; directions are 0 east, 1 south, 2 west, 3 north.
A tile is one square meter of floor, ceiling or wall; its image is found at `bases[tile]` in `texels`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.compiling import compiled, inlined
from pamiq_exp.environments.noise_world.drawing import mix
from pamiq_exp.environments.noise_world.sprites import far_to_near, meet_thing
from pamiq_exp.environments.noise_world.things import AT_X, AT_Y, Things

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

UNPREDICTABLE, FLICKERS, STRETCHED = 1, 2, 4
"""Bits of a tile's flags: its image is unpredictable; it changes by itself; it covers more than this tile."""

DARKNESS = 0.03
"""Loss of brightness with distance: at d meters, brightness is 1 / (1 + DARKNESS d)."""


class Scene(NamedTuple):
    """The parts of the world that do not change.

    Attributes:
        face: Wall face seen from a free cell in each direction, -1 where there is none, `(rows, columns, 4)`.
        mapping: Factor and offset of both texture coordinates for each stretched tile, `(tiles, 4)`.
        stretched: Whether there is any stretched tile.
        flags: UNPREDICTABLE, FLICKERS and STRETCHED bits of each tile, `(tiles,)` uint8.
        texels: Colors as 0xBBGGRR; for each image all its levels of detail, finest first.
        level_start: First texel of each level inside an image.
        level_distance: Distance beyond which a wall is drawn with the next coarser level.
        bits: Each image is `2 ** bits` texels wide at its finest level.
        wall_height: Meters, a whole number; `ceiling_height` is where the ceiling (or the clouds) hang.
        light: Brightness of each wall face, `(faces,)`, 1 is full.
        sky_tile: Tile shown above the walls if the world is open, else -1.
        screen: Tile, first row and first column of the noise that covers the screen; row -1 for none.
        things: What stands in the rooms; the tiles after the screen's are theirs.
    """

    face: Ints
    mapping: Floats
    stretched: bool
    flags: NDArray[np.uint8]
    texels: NDArray[np.uint32]
    level_start: Ints
    level_distance: Floats
    bits: int
    wall_height: int
    ceiling_height: float
    light: Floats
    sky_tile: int
    screen: tuple[int, int, int]
    things: Things


class Camera(NamedTuple):
    """The rays of pixels.

    Attributes:
        column: Tangent of the angle between each column and the view axis, to the right, `(width,)`.
        slope: Tangent of the angle between each row and the horizon, upwards, `(height,)`.
        reach: `1 / abs(slope)`.
        first_tile: Number of the first tile of what the row shows: floor or ceiling, `(height,)`.
        level: Level of detail of the floor in each row, `(height,)`; `level_start`, `level_bits` follow from it.
        shade: Brightness of the floor in each row, 256 is full, `(height,)`.
    """

    column: Floats
    slope: Floats
    reach: Floats
    first_tile: Ints
    level: Ints
    level_start: Ints
    level_bits: Ints
    shade: NDArray[np.uint32]


class Columns(NamedTuple):
    """What the columns of one environment's view show; each step fills in more.

    Attributes:
        ray: Direction of each column's ray, `(width, 2)`, scaled to one meter along the view axis.
        wall: Distance of the wall that it hits, and the place along that wall, `(width, 2)`, meters.
        face: Which wall face, `(width,)`.
        rows: First row of the wall and first row below it, `(width, 2)`.
        distance: Distance of floor or ceiling in each row, `(height,)`, meters along the view axis.
        tile, texel, shade: Tile, place in the tile's image, brightness of each pixel, `(width, height)`.
    """

    ray: Floats
    wall: Floats
    face: Ints
    rows: Ints
    distance: Floats
    tile: Ints
    texel: Ints
    shade: NDArray[np.uint32]


class Views(NamedTuple):
    """Rendered views.

    Attributes:
        frame: Pictures, `(num_envs, height, width, 3)`.
        tile: Number of the tile that each pixel shows, `(num_envs, width, height)`: columns are traced whole.
            Empty, like the other two, if only frames are rendered.
        depth: Meters along the view axis.
        flags: Flags of the tile.
    """

    frame: NDArray[np.uint8]
    tile: Ints
    depth: NDArray[np.float32]
    flags: NDArray[np.uint8]


@inlined
def cast(face: Ints, x: float, y: float, dx: float, dy: float) -> tuple[float, int, float]:
    """Follow a ray to the first wall (Amanatides and Woo, 1987).

    Returns the distance in units of the ray, the wall face and the place along it in meters, which
    grows to the right as seen from in front.
    """
    column, row = np.int64(x), np.int64(y)
    across_x = abs(1.0 / dx) if dx != 0.0 else 1e30
    across_y = abs(1.0 / dy) if dy != 0.0 else 1e30
    step_x = 1 if dx > 0.0 else -1
    step_y = 1 if dy > 0.0 else -1
    next_x = ((column + 1 - x) if dx > 0.0 else (x - column)) * across_x if dx != 0.0 else 1e30
    next_y = ((row + 1 - y) if dy > 0.0 else (y - row)) * across_y if dy != 0.0 else 1e30
    while True:
        if next_x < next_y:
            distance, direction = next_x, 0 if dx > 0.0 else 2
        else:
            distance, direction = next_y, 1 if dy > 0.0 else 3
        found = face[row, column, direction]
        if found >= 0:
            break
        if next_x < next_y:
            column += step_x
            next_x += across_x
        else:
            row += step_y
            next_y += across_y
    if direction == 0:
        along = y + distance * dy
    elif direction == 1:
        along = face.shape[1] - (x + distance * dx)
    elif direction == 2:
        along = face.shape[0] - (y + distance * dy)
    else:
        along = x + distance * dx
    return distance, found, along


@compiled
def cast_all(scene: Scene, camera: Camera, pose: Floats, columns: Columns) -> None:
    """Find the wall that each column meets. `pose` is x, y, cosine and sine of the heading, eye height."""
    face, slope, reach = scene.face, camera.slope, camera.reach
    ray, wall, faces, rows = columns.ray, columns.wall, columns.face, columns.rows
    x, y, eye = pose[0], pose[1], pose[4]
    for row in range(slope.size):
        columns.distance[row] = reach[row] * (eye if slope[row] < 0.0 else scene.ceiling_height - eye)
    for column in range(camera.column.size):
        ray[column, 0] = pose[2] - pose[3] * camera.column[column]
        ray[column, 1] = pose[3] + pose[2] * camera.column[column]
        distance, faces[column], wall[column, 1] = cast(face, x, y, ray[column, 0], ray[column, 1])
        wall[column, 0] = distance
        rows[column, 0] = rows_above(slope, eye, distance, scene.wall_height)
        rows[column, 1] = rows_above(slope, eye, distance, 0.0)


@compiled
def trace_planes(scene: Scene, camera: Camera, pose: Floats, columns: Columns) -> None:
    """Fill all pixels with floor and ceiling, as if there were no walls.

    One loop without branches for each output: compilers vectorize those.
    """
    x, y = pose[0], pose[1]
    distance, levels, starts, bits = columns.distance, camera.level, camera.level_start, camera.level_bits
    tiles, texels, shades, shade = columns.tile, columns.texel, columns.shade, camera.shade
    map_columns, first = np.int32(scene.face.shape[1]), camera.first_tile
    scale, mask = float(1 << scene.bits), np.int32((1 << scene.bits) - 1)
    for column in range(np.uint64(tiles.shape[0])):
        dx, dy = columns.ray[column, 0], columns.ray[column, 1]
        for row in range(np.uint64(distance.size)):
            east, south = np.int32(x + distance[row] * dx), np.int32(y + distance[row] * dy)
            tiles[column, row] = first[row] + south * map_columns + east
        for row in range(np.uint64(distance.size)):
            across = (np.int32((x + distance[row] * dx) * scale) & mask) >> levels[row]
            down = (np.int32((y + distance[row] * dy) * scale) & mask) >> levels[row]
            texels[column, row] = starts[row] + (down << bits[row]) + across
        for row in range(np.uint64(distance.size)):
            shades[column, row] = shade[row]


@compiled
def trace_sky(scene: Scene, pose: Floats, columns: Columns) -> None:
    """Fill the pixels above the walls with clouds, one image each 16 meters."""
    x, y = pose[0], pose[1]
    distance, tiles, texels, shades = columns.distance, columns.tile, columns.texel, columns.shade
    bits, mask = np.int32(scene.bits), np.int32((1 << scene.bits) - 1)
    scale = float(1 << scene.bits) / 16.0
    for column in range(np.uint64(tiles.shape[0])):
        dx, dy = columns.ray[column, 0] * scale, columns.ray[column, 1] * scale
        for row in range(np.uint64(columns.rows[column, 0])):
            across = np.int32(x * scale + distance[row] * dx) & mask
            down = np.int32(y * scale + distance[row] * dy) & mask
            texels[column, row] = (down << bits) + across
            tiles[column, row] = scene.sky_tile
            shades[column, row] = np.uint32(256)


@compiled
def trace_walls(scene: Scene, camera: Camera, pose: Floats, columns: Columns) -> None:
    """Fill the pixels that show a wall."""
    eye, slope = pose[4], camera.slope
    tiles, texels, shades = columns.tile, columns.texel, columns.shade
    level_start, level_distance = scene.level_start, scene.level_distance
    scale, mask = float(1 << scene.bits), np.int32((1 << scene.bits) - 1)
    first_tile = 2 * scene.face.shape[0] * scene.face.shape[1]
    for column in range(np.uint64(tiles.shape[0])):
        distance, along = columns.wall[column, 0], columns.wall[column, 1]
        tile = np.int32(first_tile + columns.face[column] * scene.wall_height)
        level = np.int32(0)
        while level < level_distance.size and distance > level_distance[level]:
            level += np.int32(1)
        bits = np.int32(scene.bits) - level
        start = level_start[level] + ((np.int32(along * scale) & mask) >> level)
        shade = np.uint32(256.0 * scene.light[columns.face[column]] / (1.0 + DARKNESS * distance))
        for row in range(np.uint64(columns.rows[column, 0]), np.uint64(columns.rows[column, 1])):
            height = eye + slope[row] * distance
            tiles[column, row] = tile + np.int32(height)
            texels[column, row] = start + (((~np.int32(height * scale) & mask) >> level) << bits)
            shades[column, row] = shade


@compiled
def stretch(scene: Scene, camera: Camera, pose: Floats, columns: Columns) -> None:
    """Correct the texels of images that cover a whole wall or floor."""
    x, y, eye, bits = pose[0], pose[1], pose[4], np.int32(scene.bits)
    mapping = scene.mapping
    for column in range(columns.tile.shape[0]):
        distance, along = columns.wall[column, 0], columns.wall[column, 1]
        dx, dy = columns.ray[column, 0], columns.ray[column, 1]
        for row in range(columns.rows[column, 0], camera.slope.size):
            tile = columns.tile[column, row]
            if not scene.flags[tile] & STRETCHED:
                continue
            if row < columns.rows[column, 1]:
                across, down = along, eye + camera.slope[row] * distance
            else:
                across, down = x + columns.distance[row] * dx, y + columns.distance[row] * dy
            across = np.int32(across * mapping[tile, 0] + mapping[tile, 1])
            down = np.int32(down * mapping[tile, 2] + mapping[tile, 3])
            columns.texel[column, row] = (np.int32(down) << bits) + np.int32(across)


@compiled
def trace_screen(scene: Scene, columns: Columns) -> None:
    """Cover the lower right part of the view, or all of it, with the noise on the screen."""
    tile, first_row, first_column = scene.screen
    width, height = columns.tile.shape
    size = 1 << scene.bits
    for column in range(first_column, width):
        across = (column - first_column) * size // (width - first_column)
        for row in range(first_row, height):
            down = (row - first_row) * size // (height - first_row)
            columns.tile[column, row] = tile
            columns.texel[column, row] = (down << scene.bits) + across
            columns.shade[column, row] = np.uint32(256)


@compiled
def trace_things(
    scene: Scene, camera: Camera, pose: Floats, state: Floats, columns: Columns, depth: NDArray[np.float32]
) -> None:
    """Draw the things in front of the walls, the farthest first, and write their depth unless `depth` is empty."""
    size, things = np.float64(1 << scene.bits), scene.things
    order = np.empty(state.shape[0], np.int64)
    far_to_near(state, pose, order)
    for index in order:
        x, y = state[index, AT_X] - pose[0], state[index, AT_Y] - pose[1]
        for column in range(columns.tile.shape[0]):
            dx, dy = columns.ray[column, 0], columns.ray[column, 1]
            distance, across, light, bottom, top = meet_thing(things, int(index), x, y, dx, dy)
            if distance <= 0.0 or distance >= columns.wall[column, 0]:
                continue
            shade = np.uint32(256.0 * light / (1.0 + DARKNESS * distance))
            first = rows_above(camera.slope, pose[4], distance, top)
            for row in range(first, rows_above(camera.slope, pose[4], distance, bottom)):
                height = (pose[4] + camera.slope[row] * distance) / things.height[index]
                columns.tile[column, row] = scene.screen[0] + 1 + index
                columns.texel[column, row] = (np.int32((1.0 - height) * size) << scene.bits) + np.int32(across * size)
                columns.shade[column, row] = shade
                if depth.shape[0] > 0:
                    depth[column, row] = distance


@inlined
def rows_above(slope: Floats, eye: float, distance: float, height: float) -> int:
    """Return how many rows look above `height` at that distance."""
    focal = 1.0 / (slope[0] - slope[1])
    row = int(min(max(0.5 * slope.size - focal * (height - eye) / distance, 0.0), 1.0 * slope.size))
    while row > 0 and eye + slope[row - 1] * distance < height:
        row -= 1
    while row < slope.size and eye + slope[row] * distance >= height:
        row += 1
    return row


@compiled
def color_pixels(scene: Scene, bases: Ints, columns: Columns, frame: NDArray[np.uint8]) -> None:
    """Look up the color of each pixel and write it, darkened, into `frame`, `(height * width * 3,)`."""
    tiles, texels, shades, colors = columns.tile, columns.texel, columns.shade, scene.texels
    red_blue, green = np.uint32(0xFF00FF), np.uint32(0x00FF00)
    width = np.uint64(tiles.shape[0])
    for column in range(width):
        place = column * np.uint64(3)
        for row in range(np.uint64(tiles.shape[1])):
            base, texel = bases[np.uint64(tiles[column, row])], texels[column, row]
            color = colors[np.uint64(base + texel)] if base >= 0 else mix(np.uint32(base) ^ np.uint32(texel))
            outer = (color & red_blue) * shades[column, row]
            inner = (color & green) * shades[column, row]
            frame[place] = np.uint8(outer >> np.uint32(8))
            frame[place + np.uint64(1)] = np.uint8(inner >> np.uint32(16))
            frame[place + np.uint64(2)] = np.uint8(outer >> np.uint32(24))
            place += width * np.uint64(3)


@compiled
def measure_depth(columns: Columns, depth: NDArray[np.float32]) -> None:
    """Write the depth of walls, floor and ceiling in each pixel, `(width, height)`."""
    distance = columns.distance
    for column in range(np.uint64(depth.shape[0])):
        for row in range(np.uint64(depth.shape[1])):
            depth[column, row] = distance[row]
        for row in range(np.uint64(columns.rows[column, 0]), np.uint64(columns.rows[column, 1])):
            depth[column, row] = columns.wall[column, 0]


@compiled
def read_flags(scene: Scene, columns: Columns, flags: NDArray[np.uint8]) -> None:
    """Write the flags of the tile that each pixel shows, `(width, height)`."""
    tiles, tile_flags = columns.tile, scene.flags
    for column in range(np.uint64(tiles.shape[0])):
        for row in range(np.uint64(tiles.shape[1])):
            flags[column, row] = tile_flags[np.uint64(tiles[column, row])]


@compiled
def render(
    scene: Scene, camera: Camera, poses: Floats, things: Floats, bases: Ints, first: int, last: int, views: Views
) -> None:
    """Render the environments from `first` to `last - 1`. `things` is the state of all things of all environments."""
    height, width = camera.slope.size, camera.column.size
    ray, wall, face = np.empty((width, 2)), np.empty((width, 2)), np.empty(width, np.int32)
    rows, distance = np.empty((width, 2), np.int32), np.empty(height)
    tile, texel = np.empty((width, height), np.int32), np.empty((width, height), np.int32)
    shade = np.empty((width, height), np.uint32)
    measured, depth = views.tile.shape[0] > 0, np.empty((0, 0), np.float32)
    for env in range(first, last):
        if measured:
            tile, depth = views.tile[env], views.depth[env]
        columns = Columns(ray, wall, face, rows, distance, tile, texel, shade)
        cast_all(scene, camera, poses[env], columns)
        trace_planes(scene, camera, poses[env], columns)
        if scene.sky_tile >= 0:
            trace_sky(scene, poses[env], columns)
        trace_walls(scene, camera, poses[env], columns)
        if scene.stretched:
            stretch(scene, camera, poses[env], columns)
        if measured:
            measure_depth(columns, depth)
        if things.shape[1] > 0:
            trace_things(scene, camera, poses[env], things[env], columns, depth)
        if scene.screen[1] >= 0:
            trace_screen(scene, columns)
        color_pixels(scene, bases[env], columns, views.frame[env].reshape(-1))
        if measured:
            read_flags(scene, columns, views.flags[env])
