from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pamiq_exp.environments.noise_world.maps import distances_from, load_map, parse_map, preset_names, reachable_cells
from tests.cases import unexpected_errors


def test_preset_names_lists_every_map_and_room_and_rooms9_have_their_layout() -> None:
    assert preset_names() == [
        "corridor",
        "maze121",
        "maze81",
        "playroom",
        "room",
        "rooms12",
        "rooms25",
        "rooms49",
        "rooms9",
    ]
    room, rooms9 = load_map("room"), load_map("rooms9")
    assert (~room.solid).sum() == 29 * 29, "inner faces at 14.5 meters from the middle"
    assert room.start == (15.5, 15.5, 0.0)
    assert rooms9.room_count == 9
    assert ((~rooms9.solid) & (rooms9.rooms < 0)).sum() == 12, "doors of one meter"


def test_load_map_rooms49_is_a_tree_of_rooms_with_a_start_in_the_middle() -> None:
    rooms49 = load_map("rooms49")
    assert rooms49.room_count == 49
    assert ((~rooms49.solid) & (rooms49.rooms < 0)).sum() == 48, "one door less than rooms: a single way to each"
    assert rooms49.start == (14.5, 14.5, 0.0), "in the middle"


@pytest.mark.parametrize("rooms", [81, 121])
def test_load_map_mazes_are_trees_of_rooms_with_three_cell_openings(rooms: int) -> None:
    maze = load_map(f"maze{rooms}")
    assert maze.room_count == rooms
    assert ((~maze.solid) & (maze.rooms < 0)).sum() == 3 * (rooms - 1), "one opening less: a single way to each"


def test_load_map_rooms25_has_a_door_in_each_shared_wall() -> None:
    rooms25 = load_map("rooms25")
    assert rooms25.room_count == 25
    assert ((~rooms25.solid) & (rooms25.rooms < 0)).sum() == 40, "doors of one meter"
    assert rooms25.start == (20.5, 20.5, 0.0), "in the middle"


def test_load_map_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.txt"
    path.write_text("####\n#.^#\n####\n")
    assert load_map(str(path)).start == (2.5, 1.5, 270.0)


def test_parse_map_separates_rooms_at_doors_and_corridors() -> None:
    world_map = parse_map("#########\n#.+.>#,,#\n#########", "it")
    assert world_map.rooms[1].tolist() == [-1, 0, -1, 1, 1, -1, -1, -1, -1]


def test_parse_map_treats_closed_gates_as_walls_between_rooms() -> None:
    world_map = parse_map("######\n#>=..#\n######", "it")
    assert world_map.solid[1, 2]
    assert world_map.gates[1, 2]
    assert world_map.room_count == 2


def test_parse_map_refuses_invalid_maps_with_a_specific_error() -> None:
    cases = [
        ("###\n#?#\n###", r"'\?' in row 2, column 2"),
        ("###\n#.#\n###", "exactly one start"),
        ("####\n#><#\n####", "exactly one start"),
        ("###\n#>.\n###", "row 2, column 3 is on the edge of the map"),
    ]
    assert not unexpected_errors(ValueError, [(partial(parse_map, text, "it"), message) for text, message in cases])


def test_distances_from_counts_steps_around_walls() -> None:
    free = np.array([[1, 1, 1], [0, 0, 1], [1, 1, 1]], dtype=np.bool_)
    assert distances_from(free, 0, 0).tolist() == [[0, 1, 2], [-1, -1, 3], [6, 5, 4]]


def test_reachable_cells_keep_the_agent_radius_away_from_walls() -> None:
    world_map = parse_map("#####\n#>..#\n#####", "it")
    cells = reachable_cells(world_map.solid, (1.5, 1.5), 0.25, 0.25)
    assert cells.shape == (12, 20)
    assert cells.sum() == 10 * 2, "three meters by one, less a quarter of a meter on each side"


def test_reachable_cells_exclude_cells_behind_a_wall() -> None:
    solid = parse_map("#######\n#>.#..#\n#######", "it").solid
    cells = reachable_cells(solid, (1.5, 1.5), 0.25, 0.25)
    assert not cells[:, 12:].any()


def test_reachable_cells_exclude_rooms_behind_a_too_narrow_door() -> None:
    solid = parse_map("#########\n#>..#...#\n#...+...#\n#...#...#\n#########", "it").solid
    assert reachable_cells(solid, (1.5, 1.5), 0.25, 0.25)[:, 20:].any()
    assert not reachable_cells(solid, (2.5, 2.5), 0.7, 0.25)[:, 20:].any()
