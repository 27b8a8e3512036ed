from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.environments.noise_world import drawing
from pamiq_exp.environments.noise_world.scene import NoiseSource, changes_per_step

STILL = np.zeros((1, 5), dtype=np.int64)


def frames(world: NoiseWorld, steps: int, action: np.ndarray = STILL) -> np.ndarray:
    shown = []
    for _ in range(steps):
        shown.append(world.observe().values["image"][0])
        world.affect(action)
    return np.stack(shown)


def bases(world: NoiseWorld) -> np.ndarray:
    """Where the image of each tile begins, `(num_envs, tiles)`."""
    world.observe()
    return world._envs.bases


def drawn(world: NoiseWorld, steps: int) -> np.ndarray:
    """What the noisy tiles show at each step, `(steps, tiles)`."""
    source = world._stage.sources[0].source
    shown = []
    for _ in range(steps):
        shown.append(bases(world)[0, source.tiles] // source.stride)
        world.affect(np.zeros((world.num_envs, len(world.action_space.nvec)), dtype=np.int64))
    return np.stack(shown)


def test_noise_iid_draws_images_uniformly_and_independently() -> None:
    images = drawn(NoiseWorld(noise={"pool": 8}, image_size=8), 60)
    counts = np.bincount(images.ravel(), minlength=8)
    expected = images.size / 8
    assert ((counts - expected) ** 2 / expected).sum() < 25, "chi-square with 7 degrees of freedom, p < 0.001"
    assert (images[1:] == images[:-1]).mean() == pytest.approx(1 / 8, abs=0.01), "repeats in time"
    assert (images[:, 1:] == images[:, :-1]).mean() == pytest.approx(1 / 8, abs=0.01), "neighbors"


@pytest.mark.parametrize("pool", [3, 4, 10])
def test_noise_without_replacement_is_uniform_and_never_repeats_at_once(pool: int) -> None:
    images = drawn(NoiseWorld(noise={"pool": pool, "replace": False}, image_size=8), 60)
    assert not (images[1:] == images[:-1]).any()
    counts = np.bincount(images.ravel(), minlength=pool)
    assert counts / images.size == pytest.approx(np.full(pool, 1 / pool), abs=0.01)


def test_noise_cycle_shows_every_image_in_a_repeating_order() -> None:
    images = drawn(NoiseWorld(noise={"pool": 5, "mode": "cycle"}, image_size=8), 20)
    assert np.array_equal(images[5:], images[:-5])
    assert (np.sort(images[:5], axis=0) == np.arange(5)[:, None]).all(), "each tile shows the whole pool"
    assert len(np.unique(images[0])) == 5, "not all in step"


def test_noise_static_mode_equals_rate_zero_and_never_changes() -> None:
    static = frames(NoiseWorld(noise={"pool": 6, "mode": "static"}), 5)
    stopped = frames(NoiseWorld(noise={"pool": 6, "rate_hz": 0}), 5)
    assert np.array_equal(static, stopped)
    assert (static == static[0]).all()


@pytest.mark.parametrize(("rate", "changes"), [(10.0, 20), (5.0, 10), (1.0, 2), (2.5, 5)])
def test_noise_changes_at_its_rate(rate: float, changes: int) -> None:
    images = drawn(NoiseWorld(noise={"pool": 50, "rate_hz": rate}, image_size=8), 21)
    assert (images[1:] != images[:-1]).any(axis=1).sum() == changes


@given(step=st.integers(0, 10**9))
def test_noise_source_ticks_are_exact_at_any_step(step: int) -> None:
    source = drawing.Source(*[np.zeros(1, np.int32)] * 3, pool=1, rule=drawing.IID, stride=1)
    assert NoiseSource(source, changes_per_step(10.0, 0.1)).ticks(step) == step
    assert NoiseSource(source, changes_per_step(30.3, 0.1)).ticks(step) == step * 303 // 100


def test_noise_smaller_fractions_are_subsets_of_larger_ones() -> None:
    tiles = [
        set(NoiseWorld(noise={"pool": 2, "fraction": share}, image_size=8)._stage.sources[0].source.tiles.tolist())
        for share in (0.25, 0.5, 1.0)
    ]
    assert tiles[0] < tiles[1] < tiles[2]
    assert len(tiles[1]) == round(0.5 * len(tiles[2]))


def test_noise_fraction_zero_is_no_noise() -> None:
    world = NoiseWorld(noise={"fraction": 0.0})
    shown = frames(world, 3)
    assert (shown == shown[0]).all()
    assert not world.ground_truth()["noise_mask"].any()


def test_noise_depends_only_on_seed_tile_and_tick() -> None:
    worlds = [NoiseWorld(noise={"pool": 50}, image_size=8, seed=4) for _ in range(2)]
    drawn(worlds[0], 7)
    for _ in range(7):
        worlds[1].affect(np.array([[1, 1, 1, 1, 1]]))
    assert np.array_equal(bases(worlds[0]), bases(worlds[1]))


def test_noise_differs_between_environments_and_seeds() -> None:
    world = NoiseWorld(noise={"pool": 50}, num_envs=2)
    other = NoiseWorld(noise={"pool": 50}, num_envs=1, seed=1)
    assert (bases(world)[0] != bases(world)[1]).mean() > 0.5
    assert (bases(world)[0] != bases(other)[0]).mean() > 0.3


@pytest.mark.parametrize(("sync", "different"), [("per_tile", 50), ("per_surface", 20), ("global", 1)])
def test_noise_sync_sets_which_tiles_share_a_draw(sync: str, different: int) -> None:
    world = NoiseWorld(noise={"pool": 50, "sync": sync}, image_size=8)
    images = drawn(world, 1)[0]
    surface = world.surfaces.surface[world._stage.sources[0].source.tiles]
    assert len(np.unique(images)) >= different
    if sync == "per_surface":
        assert all(len(np.unique(images[surface == index])) == 1 for index in np.unique(surface))
    if sync == "global":
        assert len(np.unique(images)) == 1


def test_noise_own_pools_give_each_surface_its_own_images() -> None:
    """The original world: four walls and the floor, ten images each, none in common."""
    world = NoiseWorld(map="room", noise={"pool": 50, "layout": "surface", "own_pools": True}, image_size=8)
    images, tiles = drawn(world, 80), world._stage.sources[0].source.tiles
    pools = [set(images[:, world.surfaces.surface[tiles] == index].ravel().tolist()) for index in range(5)]
    assert [len(pool) for pool in pools] == [10] * 5
    assert sorted(image for pool in pools for image in pool) == list(range(50))


@pytest.mark.parametrize("where", ["one_room", "far_room"])
def test_noise_can_stay_in_one_room(where: str) -> None:
    world = NoiseWorld(noise={"pool": 2, "where": where}, image_size=8)
    rooms = set(world.surfaces.room[world._stage.sources[0].source.tiles].tolist())
    assert len(rooms) == 1
    assert rooms != {int(world.ground_truth()["room"][0])}, "the start room has none"


def test_noise_can_stay_in_the_corridor() -> None:
    world = NoiseWorld(map="corridor", noise={"pool": 2, "where": "corridor"}, image_size=8)
    assert set(world.surfaces.room[world._stage.sources[0].source.tiles].tolist()) == {-1}


PANELS = [
    {"wall": "north", "width": 9.36, "height": 6},
    {"wall": "south", "width": 6, "height": 6, "center": -10.4, "kind": "blocks", "rate_hz": 30.3},
]


def test_noise_panels_cover_the_configured_part_of_the_wall() -> None:
    world = NoiseWorld(map="room", wall_height=6, noise={"pool": 4, "where": PANELS}, images={"size": 64})
    image, blocks = (source.source for source in world._stage.sources)
    assert (len(image.tiles), len(blocks.tiles)) == (9 * 6, 6 * 6)
    north = NoiseWorld(map="room", wall_height=6, noise={"pool": 4, "where": PANELS}, start=[15.5, 11.5, 270])
    mask = north.ground_truth()["noise_mask"][0]
    assert mask[20, 32]
    assert not mask[20, 2], "beside the panel"
    assert not mask[60, 32], "the floor"


def test_noise_panel_without_a_room_is_placed_in_the_start_room() -> None:
    panel = {"wall": "east", "width": 1, "height": 1}
    for start, room in (("#.>.+...#", 0), ("#...+.>.#", 1)):
        drawing = "\n".join(["#########", start, "#...#...#", "#...#...#", "#########"])
        kept, named = (
            NoiseWorld(map=drawing, noise={"where": [panel | chosen]})._stage.sources[0].source.tiles
            for chosen in ({}, {"room": room})
        )
        assert kept.tolist() == named.tolist()


def test_noise_panel_on_any_wall_uses_the_first_existing_wall() -> None:
    """A room whose east side is open: the panel hangs in the south, and is no wider than the wall."""
    drawing = "\n".join(["#########", "#.>.+...#", "#...+...#", "#...+...#", "#########"])
    anywhere, south = (
        NoiseWorld(map=drawing, noise={"where": [{"wall": wall, "width": 7, "height": 3}]})._stage.sources[0].source
        for wall in ("any", "south")
    )
    assert anywhere.tiles.tolist() == south.tiles.tolist()
    assert len(south.tiles) == 3 * 3
    with pytest.raises(ValueError, match="no east wall in room 0"):
        NoiseWorld(map=drawing, noise={"where": [{"wall": "east", "width": 7, "height": 3}]})


def test_noise_blocks_are_as_many_as_configured() -> None:
    panel = {"wall": "north", "width": 8, "height": 3, "kind": "blocks", "blocks": 4}
    room = "\n".join(["#" * 10, *["#" + "." * 8 + "#"] * 6, "#...^....#", "#" * 10])
    world = NoiseWorld(map=room, noise={"where": [panel]}, image_size=144, field_of_view=100.0)
    truth, view = world.ground_truth(), world.observe().values["image"][0]
    wall = truth["noise_mask"][0]
    brightest = (view // 4)[wall]
    assert wall.any()
    assert 10 <= len(np.unique(brightest, axis=0)) <= 16


def test_noise_with_remote_changes_only_when_pressed() -> None:
    world = NoiseWorld(noise={"pool": 50, "control": "remote"})
    assert world.action_space.nvec.tolist() == [3, 3, 3, 2, 2, 2]
    first = world.observe().values["image"]
    world.affect(np.array([[0, 0, 0, 0, 0, 0]]))
    assert np.array_equal(world.observe().values["image"], first)
    world.affect(np.array([[0, 0, 0, 0, 0, 1]]))
    assert not np.array_equal(world.observe().values["image"], first)
    assert NoiseWorld(noise={"control": "remote"}, actions="discrete").action_space.n == 8


def test_noise_under_gaze_changes_only_while_seen() -> None:
    world = NoiseWorld(noise={"pool": 50, "control": "gaze"})
    source = world._stage.sources[0].source
    before = bases(world)[0].copy()
    seen = set(np.unique(world.ground_truth()["tile"]).tolist())
    for _ in range(4):
        world.affect(STILL)
    changed = set(np.flatnonzero(bases(world)[0] != before).tolist())
    assert changed
    assert changed <= seen
    assert len(changed) > 0.9 * len(seen & set(source.tiles.tolist()))


@pytest.mark.parametrize(("overlay", "covered"), [("quadrant", 0.25), ("full", 1.0)])
@pytest.mark.parametrize("mode", ["iid", "pixel"])
def test_noise_overlay_covers_its_part_of_the_view(overlay: str, covered: float, mode: str) -> None:
    world = NoiseWorld(noise={"fraction": 0, "overlay": overlay, "mode": mode})
    mask = world.ground_truth()["noise_mask"][0]
    assert mask.mean() == covered
    shown = frames(world, 12)
    changes = (shown != shown[0]).any(axis=(0, 3))
    assert not changes[~mask].any()
    assert changes[mask].mean() > 0.99


def test_noise_black_overlay_shows_black_frames() -> None:
    world = NoiseWorld(noise={"fraction": 0, "overlay": "black"})
    assert not frames(world, 3, np.array([[1, 0, 1, 0, 0]])).any()
    assert not world.ground_truth()["noise_mask"].any()


def test_noise_pixel_mode_is_uniform_and_new_at_each_step() -> None:
    shown = frames(NoiseWorld(noise={"fraction": 0, "overlay": "full", "mode": "pixel"}), 20).astype(float)
    assert shown.mean() == pytest.approx(127.5, abs=1)
    assert shown.std() == pytest.approx(255 / 12**0.5, abs=1)
    flat = shown.reshape(20, -1) - 127.5
    assert abs((flat[1:] * flat[:-1]).mean()) / flat.var() < 0.02


VARIANTS: list[dict[str, object]] = [
    {"mode": "iid"},
    {"mode": "pixel", "fraction": 0.5},
    {"fraction": 0.3, "layout": "surface"},
    {"where": "far_room", "sync": "global"},
    {"where": PANELS[:1], "overlay": "quadrant"},
]


@pytest.mark.parametrize("noise", VARIANTS, ids=lambda noise: ",".join(noise))
def test_noise_mask_marks_exactly_the_unpredictable_pixels(noise: dict[str, object]) -> None:
    """Pixels that differ between noise seeds lie in the mask, and nearly all of the mask differs at some time."""
    map_name = "room" if isinstance(noise.get("where"), list) else "rooms9"
    start = [15.5, 9.5, 270.0] if map_name == "room" else [12.5, 4.5, 180.0]
    world = NoiseWorld(map=map_name, noise=noise, start=start, wall_height=6)
    mask = world.ground_truth()["noise_mask"][0]
    differs = np.zeros(mask.shape, dtype=np.bool_)
    reference = world.observe().values["image"][0]
    for seed in range(20):
        keys = world._envs.keys
        keys[:] = np.random.default_rng(seed).integers(0, 2**32, keys.shape)
        world.load_state(world.state())
        differs |= (world.observe().values["image"][0] != reference).any(axis=-1)
    assert mask.any()
    assert not differs[~mask].any()
    assert differs[mask].mean() > 0.99


def test_noise_cycle_is_in_the_flicker_mask_and_not_in_the_noise_mask() -> None:
    truth = NoiseWorld(noise={"mode": "cycle"}).ground_truth()
    assert not truth["noise_mask"].any()
    assert truth["flicker_mask"].any()


def test_noise_that_never_changes_is_in_neither_mask() -> None:
    for noise in ({"mode": "static"}, {"rate_hz": 0}):
        truth = NoiseWorld(noise=noise).ground_truth()
        assert not truth["noise_mask"].any(), noise
        assert not truth["flicker_mask"].any(), noise


def plain_mix(value: int) -> int:
    """The same construction with Python integers."""
    value ^= value >> 16
    value = value * 0x21F0AAAD & 0xFFFFFFFF
    value ^= value >> 15
    value = value * 0x735A2D97 & 0xFFFFFFFF
    return value ^ value >> 15


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_drawing_draw_matches_the_documented_hash(unit: int, tick: int, low: int, high: int) -> None:
    turn = (high + tick * 0x9E3779B1) & 0xFFFFFFFF
    expected = plain_mix((plain_mix(unit ^ low) + turn) & 0xFFFFFFFF)
    assert int(drawing.draw(unit, tick, np.uint32(low), np.uint32(high))) == expected
