"""Floors, walls and ceilings of a map: their tiles, surfaces, and which of them are noisy.

A tile is one square meter. Tiles are numbered: floors (one for each cell of the map, row by row), then
ceilings in the same order, then walls (faces in order, each from the floor up), then the sky.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world.maps import STEPS, WorldMap, distances_from
from pamiq_exp.environments.noise_world.options import WALLS, NoiseOptions, Panel
from pamiq_exp.seeding import numpy_generator

Ints = NDArray[np.int32]

DIRECTION_OF_WALL = {"east": 0, "south": 1, "west": 2, "north": 3}
assert set(DIRECTION_OF_WALL) == set(WALLS)
ANY_WALL = ("east", "south", "west", "north")
"""The order in which walls are tried for a panel on `any` wall."""


@dataclass(frozen=True)
class Face:
    """One meter of wall, seen from the free cell in front of it."""

    row: int
    column: int
    direction: int


@dataclass(frozen=True)
class Rectangle:
    """Texture coordinates of a surface: where its image begins and how many meters it covers."""

    left: float
    top: float
    width: float
    height: float


class Surfaces:
    """All tiles of a map.

    Attributes:
        face: Number of the wall face seen from a cell in each direction, -1 for none, `(rows, columns, 4)`:
            with gates closed; `face_open` with gates open.
        surface: For each tile the wall or floor that it is part of, -1 for ceilings and the sky, `(tiles,)`.
        rectangles: For each surface the extent of an image that covers it.
        room: Number of the room that each tile belongs to or faces, -1 for none, `(tiles,)`.
        free: Cells that are no wall once all gates are open, `(rows, columns)`.
    """

    def __init__(self, world_map: WorldMap, wall_height: int) -> None:
        self.map = world_map
        self.wall_height = wall_height
        self.free = ~world_map.solid | world_map.gates
        self.face, self.face_open, self.faces = _number_faces(world_map)
        self.cells = world_map.solid.size
        self.tiles = 2 * self.cells + len(self.faces) * wall_height + 1
        self.sky = self.tiles - 1
        self.surface, self.rectangles = self._number_surfaces()
        self.room = self._rooms_of_tiles()

    def wall_tiles(self, face: int) -> range:
        """Return the tiles of a wall face, from the floor up."""
        first = 2 * self.cells + face * self.wall_height
        return range(first, first + self.wall_height)

    def _number_surfaces(self) -> tuple[Ints, list[Rectangle]]:
        surface = np.full(self.tiles, -1, dtype=np.int32)
        rectangles: list[Rectangle] = []
        rooms = self.map.rooms
        for room in range(-1, self.map.room_count):
            rows, columns = np.nonzero((rooms == room) & self.free)
            if rows.size:
                surface[rows * rooms.shape[1] + columns] = len(rectangles)
                left, top = int(columns.min()), int(rows.min())
                rectangles.append(Rectangle(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1))
        for run in _wall_runs(self.faces):
            for index in run:
                surface[list(self.wall_tiles(index))] = len(rectangles)
            along = [along_wall(self.faces[index], rooms.shape) for index in run]
            rectangles.append(Rectangle(min(along), self.wall_height, len(run), self.wall_height))
        return surface, rectangles

    def _rooms_of_tiles(self) -> Ints:
        room = np.full(self.tiles, -1, dtype=np.int32)
        room[: self.cells] = self.map.rooms.ravel()
        room[self.cells : 2 * self.cells] = self.map.rooms.ravel()
        for index, face in enumerate(self.faces):
            room[list(self.wall_tiles(index))] = self.map.rooms[face.row, face.column]
        return room


def along_wall(face: Face, shape: tuple[int, ...]) -> int:
    """Return where a face begins along its wall, in meters that grow to the right as seen from the room."""
    rows, columns = shape
    return (face.row, columns - 1 - face.column, rows - 1 - face.row, face.column)[face.direction]


def _number_faces(world_map: WorldMap) -> tuple[Ints, Ints, list[Face]]:
    solid_open = world_map.solid & ~world_map.gates
    closed = np.full((*world_map.solid.shape, 4), -1, dtype=np.int32)
    opened = closed.copy()
    faces: list[Face] = []
    for row, column in np.argwhere(~solid_open):
        for direction, (down, right) in enumerate(STEPS):
            beside = int(row) + down, int(column) + right
            if world_map.solid[beside] or solid_open[beside]:
                closed[row, column, direction] = len(faces) if world_map.solid[beside] else -1
                opened[row, column, direction] = len(faces) if solid_open[beside] else -1
                faces.append(Face(int(row), int(column), direction))
    return closed, opened, faces


def _wall_runs(faces: list[Face]) -> list[list[int]]:
    """Group faces that lie side by side in one plane: each group is one wall."""
    runs: list[list[int]] = []
    order = sorted(
        range(len(faces)),
        key=lambda index: (
            faces[index].direction,
            faces[index].column if faces[index].direction % 2 == 0 else faces[index].row,
            faces[index].row if faces[index].direction % 2 == 0 else faces[index].column,
        ),
    )
    previous: Face | None = None
    for index in order:
        face = faces[index]
        joined = (
            previous is not None
            and face.direction == previous.direction
            and (
                (face.row - previous.row, face.column - previous.column)
                == ((1, 0) if face.direction % 2 == 0 else (0, 1))
            )
        )
        if joined:
            runs[-1].append(index)
        else:
            runs.append([index])
        previous = face
    return runs


@dataclass(frozen=True)
class NoisyTiles:
    """Noisy tiles of one rule.

    Attributes:
        tiles: Which, `(n,)`.
        units: Tiles with the same number show the same draw, `(n,)`.
        part: Which part of the pool each draws from, `(n,)`, out of `parts`.
        mapping: Factor and offset of both texture coordinates in images per meter, `(n, 4)`, if images are
            `stretched` over several tiles; zeros if each tile shows one image.
        blocks: Colors per side of a panel of blocks, else 0.
        rate_hz: Changes per second.
    """

    tiles: Ints
    units: Ints
    part: Ints
    parts: int
    mapping: NDArray[np.float64]
    stretched: bool
    blocks: int
    rate_hz: float


def choose_noisy_tiles(surfaces: Surfaces, noise: NoiseOptions, seed: int) -> list[NoisyTiles]:
    """Return which tiles are noisy, grouped by rule: one group, or one for each panel."""
    if isinstance(noise.where, tuple):
        return [_panel_tiles(surfaces, panel, noise) for panel in noise.where]
    tiles: Ints = np.flatnonzero(surfaces.surface >= 0).astype(np.int32)
    tiles = tiles[_lies_in(surfaces, noise.where, tiles)]
    unit = tiles if noise.layout == "tile" else surfaces.surface[tiles]
    tiles = tiles[np.isin(unit, _first_share(np.unique(unit), noise.fraction, seed))]
    if not tiles.size:
        return []
    surface = surfaces.surface[tiles]
    units = {
        "per_tile": tiles if noise.layout == "tile" else surface,
        "per_surface": surface,
        "global": np.zeros_like(tiles),
    }[noise.sync]
    _, part = np.unique(surface, return_inverse=True)
    parts = int(part.max()) + 1 if noise.own_pools else 1
    mapping = np.zeros((tiles.size, 4))
    stretched = noise.layout == "surface"
    if stretched:
        mapping = np.array(
            [
                _stretch(surfaces.rectangles[index], is_wall)
                for index, is_wall in zip(surface, tiles >= 2 * surfaces.cells, strict=True)
            ]
        )
    own_part: Ints = part.astype(np.int32) if noise.own_pools else np.zeros_like(tiles)
    return [NoisyTiles(tiles, units, own_part, parts, mapping, stretched, 0, noise.rate_hz)]


def _first_share(units: Ints, fraction: float, seed: int) -> Ints:
    order = numpy_generator(seed, "noisy_tiles").permutation(units.size)
    return units[order[: round(fraction * units.size)]]


def _stretch(rectangle: Rectangle, is_wall: bool) -> tuple[float, float, float, float]:
    width, height = 1.0 / rectangle.width, 1.0 / rectangle.height
    if is_wall:
        return width, -rectangle.left * width, -height, rectangle.top * height
    return width, -rectangle.left * width, height, -rectangle.top * height


def _lies_in(surfaces: Surfaces, place: str, tiles: Ints) -> NDArray[np.bool_]:
    room = surfaces.room[tiles]
    if place == "everywhere":
        return np.ones(tiles.size, dtype=np.bool_)
    if place == "corridor":
        wanted = [-1]
    elif place == "behind_gates":
        wanted = _rooms_behind_gates(surfaces.map)
    else:
        wanted = [_room_by_distance(surfaces.map, surfaces.free, farthest=place == "far_room")]
    lies_in = np.isin(room, wanted)
    if not lies_in.any():
        needs = "corridors or doorways (, or +)" if place == "corridor" else "rooms behind gates (=)"
        raise ValueError(f"noise.where: '{place}' needs a map with {needs}")
    return lies_in


def _rooms_behind_gates(world_map: WorldMap) -> list[int]:
    distance = distances_from(~world_map.solid, int(world_map.start[1]), int(world_map.start[0]))
    return [room for room in range(world_map.room_count) if (distance[world_map.rooms == room] < 0).all()]


def _room_by_distance(world_map: WorldMap, free: NDArray[np.bool_], *, farthest: bool) -> int:
    """Return the room farthest from the start, or the nearest one other than the start's."""
    distance = distances_from(free, int(world_map.start[1]), int(world_map.start[0]))
    home = _room_of_start(world_map)
    others = [room for room in range(world_map.room_count) if room != home]
    if not others:
        raise ValueError("noise.where: 'one_room' and 'far_room' need a map with more than one room")
    nearest = {room: int(distance[(world_map.rooms == room) & (distance >= 0)].min(initial=2**30)) for room in others}
    return max(others, key=lambda room: (nearest[room], -room)) if farthest else min(others, key=nearest.__getitem__)


def _room_of_start(world_map: WorldMap) -> int:
    return int(world_map.rooms[int(world_map.start[1]), int(world_map.start[0])])


def _wall_faces(surfaces: Surfaces, room: int, wall: str) -> list[int]:
    return [
        index
        for index, face in enumerate(surfaces.faces)
        if face.direction == DIRECTION_OF_WALL[wall] and surfaces.map.rooms[face.row, face.column] == room
    ]


def _panel_tiles(surfaces: Surfaces, panel: Panel, noise: NoiseOptions) -> NoisyTiles:
    shape = surfaces.map.rooms.shape
    room = _room_of_start(surfaces.map) if panel.room is None else panel.room
    wanted = ANY_WALL if panel.wall == "any" else (panel.wall,)
    walls = next((found for wall in wanted if (found := _wall_faces(surfaces, room, wall))), [])
    if not walls:
        raise ValueError(f"noise.where: there is no {panel.wall} wall in room {room}")
    along = {index: along_wall(surfaces.faces[index], shape) for index in walls}
    middle = (min(along.values()) + max(along.values()) + 1) / 2 + panel.center
    span = max(along.values()) - min(along.values()) + 1
    width, height = min(round(panel.width), span), min(round(panel.height), surfaces.wall_height - round(panel.bottom))
    left, bottom = round(middle - width / 2), round(panel.bottom)
    tiles = [
        surfaces.wall_tiles(index)[level]
        for index in walls
        if left <= along[index] < left + width
        for level in range(bottom, bottom + height)
    ]
    if not tiles:
        raise ValueError(
            f"noise.where: the panel on the {panel.wall} wall of room {room} is beside the wall: "
            "change its center or width"
        )
    count = len(tiles)
    mapping = np.tile(np.array(_stretch(Rectangle(left, bottom + height, width, height), is_wall=True)), (count, 1))
    rate = noise.rate_hz if panel.rate_hz is None else panel.rate_hz
    blocks = panel.blocks if panel.kind == "blocks" else 0
    zeros = np.zeros(count, dtype=np.int32)
    units = np.full(count, min(tiles), dtype=np.int32)
    return NoisyTiles(np.array(tiles, dtype=np.int32), units, zeros, 1, mapping, True, blocks, rate)
