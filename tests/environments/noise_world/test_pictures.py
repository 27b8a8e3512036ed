from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.environments.noise_world import pictures
from pamiq_exp.environments.noise_world.food import DISHES, food_pictures
from pamiq_exp.environments.noise_world.pictures import load_folder


def test_food_pictures_match_a_pinned_hash() -> None:
    dishes = food_pictures(len(DISHES), 64, seed=0)
    assert hashlib.sha256(dishes.tobytes()).hexdigest()[:16] == "e08585cfce437da8"


def test_food_pictures_do_not_depend_on_the_count() -> None:
    assert np.array_equal(food_pictures(3, 32, 5), food_pictures(6, 32, 5)[:3])


def test_food_pictures_differ_from_each_other_and_between_seeds() -> None:
    dishes = np.concatenate([food_pictures(30, 32, 0), food_pictures(30, 32, 1)]).reshape(60, -1) / 255.0
    distance = np.sqrt(((dishes[:, None] - dishes[None]) ** 2).mean(axis=-1))
    assert distance[np.triu_indices(60, 1)].mean() > 0.15
    assert min(distance[index, index + 30] for index in range(30)) > 0.05, "the same dish by another seed"


def test_food_has_at_least_twenty_dishes() -> None:
    assert len(DISHES) >= 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 255, (40, 90, 3), dtype=np.uint8)).save(tmp_path / "a_wide.png")
    Image.fromarray(generator.integers(0, 255, (300, 20), dtype=np.uint8)).save(tmp_path / "b_grey_tall.jpg")
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(tmp_path / "c_clear.webp")
    Image.new("P", (8, 8)).save(tmp_path / "d_palette.gif")
    Image.new("CMYK", (9, 9)).save(tmp_path / "e_print.tiff")
    (tmp_path / "f_broken.png").write_bytes((tmp_path / "a_wide.png").read_bytes()[:200])
    (tmp_path / "g_notes.txt").write_text("not a picture")
    (tmp_path / "h_folder.png").mkdir()
    return tmp_path


def test_load_folder_reads_pictures_of_any_size_and_format(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = load_folder(folder, 5, 16)
    assert loaded.shape == (5, 16, 16, 3)
    assert (loaded[2] == 255).all(), "what is transparent is white"
    assert not caplog.records


def test_load_folder_warns_about_unreadable_files_and_skips_them(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        loaded = load_folder(folder, 7, 16)
    assert "f_broken.png" in caplog.text
    assert "g_notes.txt" in caplog.text
    assert "5 pictures, fewer than noise.pool=7" in caplog.text
    assert np.array_equal(loaded[5], loaded[0]), "they repeat"


def test_load_folder_crops_pictures_to_their_center(tmp_path: Path) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (load_folder(tmp_path, 1, 8) > 200).all()


def test_load_folder_skips_decompression_bombs(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 3000)
    load_folder(folder, 3, 16)
    assert "a_wide.png: 90 x 40 is more than 3000 pixels" in caplog.text


@pytest.mark.parametrize("empty", ["nowhere", "here"])
def test_noise_world_refuses_a_folder_without_pictures(tmp_path: Path, empty: str) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(ValueError, match=rf"{empty}.* (put|use)"):
        NoiseWorld(images={"source": "folder", "path": str(tmp_path / empty)})
