from __future__ import annotations

import numpy as np
import pytest

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.interaction import Interaction
from pamiq_exp.media import Picture, Video
from pamiq_exp.recording import VideoRecorder
from tests.metrics.scripted import ScriptedAgent, watch

WALK = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 0, 0]])


def film(recorder: VideoRecorder, steps: int) -> list[Video]:
    world = NoiseWorld(noise={"pool": 2}, num_envs=2)
    interaction = Interaction(ScriptedAgent([WALK] * steps), world, {"film": recorder})
    for _ in range(steps):
        interaction.step()
    return films_of(recorder)


def films_of(recorder: VideoRecorder) -> list[Video]:
    return [item for item in recorder.media() if isinstance(item, Video)]


def test_video_recorder_shows_the_enlarged_view_beside_a_map() -> None:
    videos = film(VideoRecorder(every_steps=1000, length=5, size=128), 5)
    assert len(videos) == 1
    assert videos[0].frames.shape == (5, 128, 256, 3)
    first = NoiseWorld(noise={"pool": 2}, num_envs=2).observe().values["image"][0]
    assert np.array_equal(videos[0].frames[0, ::2, :128:2], first)
    assert (videos[0].frames[0, :, 128:] != videos[0].frames[4, :, 128:]).any(), "the agent moved on the map"


def test_video_recorder_gives_an_image_of_the_first_turn_before_the_first_video() -> None:
    recorder = VideoRecorder(every_steps=4, length=3, size=64)
    watch(recorder, [{}], image=np.full((1, 64, 64, 3), 200, np.uint8))
    (first,) = recorder.media()
    assert isinstance(first, Picture)
    assert first.name == "view first"
    assert (first.pixels == 200).all()
    watch(recorder, [{}] * 6, image=np.zeros((1, 64, 64, 3), np.uint8))
    assert [type(item) for item in recorder.media()] == [Video, Video]
    assert (first.pixels == 200).all(), "the picture does not change with later frames"


def test_video_recorder_interval_counts_steps_of_all_environments() -> None:
    recorder = VideoRecorder(every_steps=40, length=3, size=64)
    assert len(film(recorder, 50)) == 3, "at 0, 40 and 80 of 100 steps"
    assert recorder.media() == []


def test_video_recorder_keeps_an_unfinished_video_at_teardown() -> None:
    recorder = VideoRecorder(length=100, size=64)
    assert film(recorder, 7) == []
    recorder.teardown()
    (video,) = films_of(recorder)
    assert len(video.frames) == 7
    recorder.teardown()
    assert recorder.media() == []


def test_video_recorder_makes_no_video_without_images() -> None:
    recorder = VideoRecorder(length=1)
    watch(recorder, [{}] * 3)
    assert recorder.media() == []


@pytest.mark.parametrize(("shape", "height"), [((84, 84, 1), 84), ((210, 160, 3), 210), ((300, 300, 3), 256)])
def test_video_recorder_accepts_images_of_any_shape(shape: tuple[int, int, int], height: int) -> None:
    recorder = VideoRecorder(length=2, size=256)
    image = np.full((1, *shape), 200, np.uint8)
    watch(recorder, [{}] * 2, image=image)
    (video,) = films_of(recorder)
    assert video.frames.shape[1] == 256
    assert video.frames.shape[2] % 2 == 0
    assert (video.frames == 200).any(axis=(0, 2, 3)).sum() == height * (256 // height if height <= 256 else 1)


def filmed(image: np.ndarray, size: int = 256) -> np.ndarray:
    recorder = VideoRecorder(length=2, size=size)
    watch(recorder, [{}] * 2, image=image[None])
    (video,) = films_of(recorder)
    return video.frames[0]


@pytest.mark.parametrize("shape", [(400, 600, 3), (300, 200, 1), (1000, 300, 4), (8, 5000, 3), (257, 257, 3)])
def test_video_recorder_shrinks_large_images_without_cropping(shape: tuple[int, int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    image[-(shape[0] // 4) :, -(shape[1] // 4) :] = 255
    shown = filmed(image)
    assert shown.shape[0] == 256
    assert shown.shape[1] <= 4 * 256
    lit = np.argwhere(shown[..., 0] > 100)
    assert len(lit), "the lower right corner is in the film"
    share = len(lit) / (shown[..., 0] >= 0).sum()
    assert share == pytest.approx(1 / 16, rel=0.35) or shape[0] == 8, "and nothing else fills it"


def test_video_recorder_drops_alpha_and_shows_the_last_stacked_image() -> None:
    image = np.zeros((8, 8, 4), np.uint8)
    image[..., 0], image[..., 3] = 90, 255
    assert filmed(image)[0, 0].tolist() == [90, 0, 0]
    gray = np.stack([np.full((8, 8), shade, np.uint8) for shade in (10, 20, 30, 40)], axis=-1)
    assert filmed(gray)[0, 0].tolist() == [40, 40, 40]
    colored = np.concatenate([np.full((8, 8, 3), shade, np.uint8) for shade in (10, 20)], axis=-1)
    assert filmed(colored)[0, 0].tolist() == [20, 20, 20]
