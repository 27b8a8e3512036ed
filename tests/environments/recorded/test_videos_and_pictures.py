"""Videos and pictures as worlds."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("av", reason="videos need PyAV: extra video")

from pamiq_exp.component import collect_state, restore_state
from pamiq_exp.environments import PictureFolder, VideoFiles
from pamiq_exp.interaction import Environment
from pamiq_exp.media import Video
from pamiq_exp.tracking.media_files import write_media


def film(folder: Path, name: str, shades: list[int], height: int = 48, width: int = 80) -> None:
    frames = np.broadcast_to(np.array(shades, np.uint8)[:, None, None, None], (len(shades), height, width, 3))
    path = write_media(Video(name, frames, 10.0), folder, 0)
    path.rename(folder / f"{name}.mp4")


@pytest.fixture
def videos(tmp_path: Path) -> str:
    film(tmp_path, "a", [10, 30, 50, 70, 90])
    film(tmp_path, "b", [200, 220, 240])
    (tmp_path / "notes.txt").write_text("no video")
    return str(tmp_path)


def shades(world: Environment, turns: int) -> list[list[int]]:
    """The shade that each environment shows, negative for the last of an episode."""
    seen = []
    for _ in range(turns):
        observation = world.observe()
        means = np.rint(observation.values["image"].mean(axis=(1, 2, 3)) / 10).astype(int) * 10
        seen.append(np.where(observation.truncated, -means, means).tolist())
        assert not observation.terminated.any()
        world.affect(np.zeros((world.num_envs, 1), dtype=np.int64))
    return seen


def test_video_files_are_shown_in_order_as_one_episode_each(videos: str) -> None:
    world = VideoFiles(videos, image_size=16)
    assert world.observe().values["image"].shape == (1, 16, 16, 3)
    assert np.ravel(shades(world, 10)).tolist() == [10, 30, 50, 70, -90, 200, 220, -240, 10, 30]
    world.teardown()


def test_video_files_environments_start_at_different_videos_and_frames(videos: str) -> None:
    world = VideoFiles(videos, image_size=16, num_envs=4)
    assert shades(world, 2) == [[10, 200, 50, 220], [30, 220, 70, -240]]


def test_video_files_stride_skips_frames(videos: str) -> None:
    assert np.ravel(shades(VideoFiles(videos, image_size=16, stride=2), 5)).tolist() == [10, 50, -90, 200, -240]


def test_video_files_accepts_a_single_video(videos: str) -> None:
    world = VideoFiles(f"{videos}/b.mp4", image_size=16)
    assert np.ravel(shades(world, 4)).tolist() == [200, 220, -240, 200]


def test_video_files_resumes_where_it_was_saved(videos: str) -> None:
    world = VideoFiles(videos, image_size=16, num_envs=2)
    shades(world, 3)
    saved = collect_state(world)
    future = shades(world, 9)
    resumed = VideoFiles(videos, image_size=16, num_envs=2)
    assert restore_state(resumed, saved) == ([], [])
    assert shades(resumed, 9) == future


def test_video_files_crops_frames_in_the_middle(tmp_path: Path) -> None:
    columns = np.broadcast_to(np.arange(0, 240, 3, dtype=np.uint8)[None, None, :, None], (2, 40, 80, 3))
    write_media(Video("wide", columns, 10.0), tmp_path, 0)
    image = VideoFiles(str(tmp_path), image_size=20).observe().values["image"][0].astype(int)
    assert abs(image[:, 0].mean() - 61) < 6
    assert abs(image[:, -1].mean() - 178) < 6


@pytest.mark.parametrize(("name", "message"), [("nothing", "no video or folder"), ("", "there is no video in")])
def test_video_files_refuses_a_folder_without_videos(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoFiles(str(tmp_path / name))


def test_video_files_refuses_a_broken_video(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"broken\.mp4 is no video"):
        VideoFiles(str(tmp_path))


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    (tmp_path / "more").mkdir()
    for number in range(6):
        folder = tmp_path / "more" if number > 3 else tmp_path
        Image.new("RGB", (30 + number, 20), (40 * number,) * 3).save(folder / f"{number}.png")
    (tmp_path / "broken.jpg").write_text("no picture")
    return str(tmp_path)


def numbers(world: PictureFolder, turns: int) -> list[list[int]]:
    seen = []
    for _ in range(turns):
        seen.append((world.observe().values["image"][:, 0, 0, 0] // 40).tolist())
        world.affect(np.zeros((world.num_envs, 1), dtype=np.int64))
    return seen


def test_picture_folder_shows_every_picture_once_per_round(pictures: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        world = PictureFolder(pictures, image_size=8, seed=1, num_envs=2)
    assert "broken.jpg" in caplog.text
    assert world.observe().values["image"].shape == (2, 8, 8, 3)
    seen = np.array(numbers(world, 18))
    for env in range(2):
        rounds = [seen[start : start + 6, env].tolist() for start in (0, 6, 12)]
        assert all(sorted(each) == [0, 1, 2, 3, 4, 5] for each in rounds)
        assert rounds[0] != rounds[1]
    assert seen[:, 0].tolist() != seen[:, 1].tolist()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"order": "sorted", "num_envs": 2}, [[0, 3], [1, 4], [2, 5], [3, 0]]),
        ({"order": "sorted", "most": 2}, [[0], [1]]),
    ],
)
def test_picture_folder_shows_pictures_in_sorted_order(
    pictures: str, keys: dict[str, Any], expected: list[list[int]]
) -> None:
    assert numbers(PictureFolder(pictures, image_size=8, **keys), len(expected)) == expected


@pytest.mark.parametrize("order", ["shuffled", "sorted", "random"])
def test_picture_folder_resumes_where_it_was_saved(pictures: str, order: Any) -> None:
    world = PictureFolder(pictures, image_size=8, order=order, seed=1)
    numbers(world, 8)
    saved = collect_state(world)
    future = numbers(world, 20)
    resumed = PictureFolder(pictures, image_size=8, order=order, seed=7)
    assert restore_state(resumed, saved) == ([], [])
    assert numbers(resumed, 20) == future


def test_picture_folder_refuses_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no readable picture"):
        PictureFolder(str(tmp_path))
    with pytest.raises(ValueError, match="there is no folder"):
        PictureFolder(str(tmp_path / "nothing"))
