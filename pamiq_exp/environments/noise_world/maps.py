"""Maps drawn as text, one character for each square meter.

    #  wall                 .  floor of a room        ,  floor of a corridor
    +  doorway              =  gate: a wall that opens later
    > v < ^  where agents start, and their heading (exactly one of them)
    b  box   l  lamp   o  ball (objects, on room floor)

Rooms are the connected floors without doorways, gates and corridors, numbered in reading order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.environments.noise_world.options import nearest

START_HEADINGS = {">": 0.0, "v": 90.0, "<": 180.0, "^": 270.0}
OBJECTS = {"b": "box", "l": "lamp", "o": "ball"}
KNOWN = set("#.,+=") | set(START_HEADINGS) | set(OBJECTS)

STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
"""Row and column steps to the east, south, west and north."""


@dataclass(frozen=True)
class WorldMap:
    """A map in meters: x is the column, y the row, both from the north-west corner.

    Attributes:
        solid: Walls, closed gates included, `(rows, columns)`.
        gates: Walls that open later, `(rows, columns)`.
        rooms: Number of the room of each square meter, -1 outside rooms, `(rows, columns)` int32.
        start: x, y and heading (degrees clockwise from east).
        objects: Kind, x and y of each object.
    """

    solid: NDArray[np.bool_]
    gates: NDArray[np.bool_]
    rooms: NDArray[np.int32]
    start: tuple[float, float, float]
    objects: tuple[tuple[str, float, float], ...]

    @property
    def room_count(self) -> int:
        return int(self.rooms.max()) + 1


def preset_names() -> list[str]:
    """Return the names of the maps that come with the package."""
    folder = resources.files(__package__) / "maps"
    return sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir() if entry.name.endswith(".txt"))


def load_map(source: str) -> WorldMap:
    """Return a map from the name of a preset, the path of a text file, or the text itself.

    Raises ValueError, naming the map and what is wrong with it.
    """
    if "\n" in source.strip():
        return parse_map(source, "the map")
    if source in preset_names():
        return parse_map((resources.files(__package__) / "maps" / f"{source}.txt").read_text("utf-8"), source)
    if source.endswith(".txt"):
        path = Path(source).expanduser()
        if not path.is_file():
            raise ValueError(f"environment.map: there is no file {path}")
        return parse_map(path.read_text("utf-8"), str(path))
    hint = nearest(source, preset_names())
    raise ValueError(f"environment.map: there is no map '{source}'{hint}; a file of your own ends in .txt")


@lru_cache(maxsize=8)  # a run has several worlds on one map: what it is compared with walks in its own
def parse_map(text: str, name: str) -> WorldMap:
    """Read a drawn map. Raises ValueError with the row and column of what is wrong."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    width = max(len(line) for line in lines)
    cells = np.array([list(line.ljust(width, "#")) for line in lines])
    for row, column in np.argwhere(~np.isin(cells, sorted(KNOWN))):
        known = " ".join(sorted(KNOWN))
        raise ValueError(f"{name}: '{cells[row, column]}' in row {row + 1}, column {column + 1} is not one of {known}")
    gates = cells == "="
    solid = (cells == "#") | gates
    rim = np.ones(solid.shape, dtype=np.bool_)
    rim[1:-1, 1:-1] = False
    for row, column in np.argwhere(rim & (cells != "#")):
        raise ValueError(f"{name}: row {row + 1}, column {column + 1} is on the edge of the map and must be a wall (#)")
    starts = np.argwhere(np.isin(cells, list(START_HEADINGS)))
    if len(starts) != 1:
        raise ValueError(f"{name}: there must be exactly one start (one of > v < ^), not {len(starts)}")
    row, column = (int(index) for index in starts[0])
    inside = ~solid & (cells != "+") & (cells != ",")
    if _beside(cells, ",", row, column):
        inside[row, column] = False
    objects = tuple(
        (OBJECTS[str(cells[r, c])], float(c) + 0.5, float(r) + 0.5)
        for r, c in np.argwhere(np.isin(cells, list(OBJECTS)))
    )
    start = (column + 0.5, row + 0.5, START_HEADINGS[str(cells[row, column])])
    return WorldMap(solid, gates, _number_rooms(inside), start, objects)


def _beside(cells: NDArray[np.str_], character: str, row: int, column: int) -> bool:
    return any(cells[row + down, column + right] == character for down, right in STEPS)


def _number_rooms(inside: NDArray[np.bool_]) -> NDArray[np.int32]:
    rooms = np.full(inside.shape, -1, dtype=np.int32)
    count = 0
    for row, column in np.argwhere(inside):
        if rooms[row, column] < 0:
            rooms[distances_from(inside, int(row), int(column)) >= 0] = count
            count += 1
    return rooms


def distances_from(free: NDArray[np.bool_], row: int, column: int) -> NDArray[np.int32]:
    """Return the number of steps to each free cell from one of them, -1 if unreachable (breadth-first)."""
    distance = np.full(free.shape, -1, dtype=np.int32)
    frontier = np.zeros(free.shape, dtype=np.bool_)
    frontier[row, column] = True
    steps = 0
    while frontier.any():
        distance[frontier] = steps
        near = np.zeros_like(frontier)
        near[1:] |= frontier[:-1]
        near[:-1] |= frontier[1:]
        near[:, 1:] |= frontier[:, :-1]
        near[:, :-1] |= frontier[:, 1:]
        frontier = near & free & (distance < 0)
        steps += 1
    return distance


def reachable_cells(
    solid: NDArray[np.bool_], start: tuple[float, float], radius: float, cell: float
) -> NDArray[np.bool_]:
    """Return which square cells of `cell` meters an agent can reach: `(rows / cell, columns / cell)`.

    A cell counts if an agent of that radius can stand at its center and walk there from `start`.
    """
    fine, around = round(1.0 / cell), math.ceil(radius)
    rows, columns = (np.arange(size * fine) // fine for size in solid.shape)
    y, x = ((np.arange(each.size) + 0.5) * cell for each in (rows, columns))
    walls = np.pad(solid, around)
    clear = np.ones((rows.size, columns.size), dtype=np.bool_)
    for down, right in product(range(-around, around + 1), repeat=2):
        row, column = rows + down, columns + right
        near_y = np.maximum(np.maximum(row - y, y - row - 1.0), 0.0)
        near_x = np.maximum(np.maximum(column - x, x - column - 1.0), 0.0)
        touches = near_y[:, None] ** 2 + near_x[None, :] ** 2 < radius**2
        clear &= ~(touches & walls[np.ix_(row + around, column + around)])
    where = int(start[1] / cell), int(start[0] / cell)
    if not clear[where]:
        candidates = np.argwhere(clear)
        nearest_cell = candidates[np.argmin(((candidates - np.array(where)) ** 2).sum(axis=1))]
        where = int(nearest_cell[0]), int(nearest_cell[1])
    return distances_from(clear, *where) >= 0
