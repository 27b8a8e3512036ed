"""The camera shows the newest frame and reports its age."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("cv2", reason="cameras need OpenCV: extra vrchat")

import pamiq_exp.environments
from pamiq_exp.config import AllowList
from pamiq_exp.config.build import Builder
from pamiq_exp.environments import Camera
from pamiq_exp.environments.camera.sensor import cover
from pamiq_exp.media import Video
from pamiq_exp.tracking.media_files import write_media

COLORS = [(230, 20, 20), (20, 230, 20), (20, 20, 230)]


def film(folder: Path, rate: float = 100.0, height: int = 32, width: int = 48) -> str:
    """A video that shows three colors, ten frames each."""
    frames = np.repeat(np.array(COLORS, np.uint8), 10, axis=0)[:, None, None]
    return str(write_media(Video("film", np.broadcast_to(frames, (30, height, width, 3)), rate), folder, 0))


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.005)
    return True


def test_camera_loops_a_video_file_in_its_colors(tmp_path: Path) -> None:
    camera = Camera(film(tmp_path), image_size=16)
    camera.setup()
    seen: list[int] = []

    def three_colors_twice() -> bool:
        picture = camera.read()
        assert picture.shape == (16, 16, 3)
        assert picture.dtype == np.uint8
        color = int(np.abs(np.array(COLORS) - picture.mean(axis=(0, 1))).sum(axis=1).argmin())
        if not seen or seen[-1] != color:
            seen.append(color)
        return len(seen) >= 7

    assert until(three_colors_twice)
    assert seen[:7] in ([0, 1, 2, 0, 1, 2, 0], [1, 2, 0, 1, 2, 0, 1], [2, 0, 1, 2, 0, 1, 2])
    camera.teardown()


def test_camera_counts_repeated_and_skipped_frames(tmp_path: Path) -> None:
    camera = Camera(film(tmp_path, rate=50.0))
    camera.setup()
    for _ in range(20):
        camera.read()
    assert camera.repeated_frames >= 10, "a frame lasts 20 ms, a read far less"
    before = camera.skipped_frames
    begin = camera._capture.newest().number
    assert until(lambda: camera._capture.newest().number >= begin + 5)
    camera.read()
    assert camera.skipped_frames - before >= 4
    assert camera.observed_at is not None
    assert 0 <= time.perf_counter() - camera.observed_at < 5
    camera.teardown()


def test_camera_stops_capturing_in_a_pause_and_resumes(tmp_path: Path) -> None:
    camera = Camera(film(tmp_path))
    camera.setup()
    camera.on_pause()
    assert not any(thread.name == "camera" for thread in threading.enumerate())
    camera.on_resume()
    assert camera.read().shape == (84, 84, 3)
    camera.teardown()
    camera.teardown()
    assert not any(thread.name == "camera" for thread in threading.enumerate())


def test_camera_refuses_a_file_that_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_text("no video")
    with pytest.raises(OSError, match=r"no\.mp4' cannot be opened"):
        Camera(str(tmp_path / "no.mp4")).setup()


def test_camera_refuses_an_unknown_source() -> None:
    with pytest.raises(OSError, match="there is no camera, video file or stream 'Nowhere Camera'"):
        Camera("Nowhere Camera").setup()


def test_camera_without_opencv_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pamiq_exp.environments.camera")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(pamiq_exp.environments, "Camera")  # imported again at the next access
    monkeypatch.setitem(sys.modules, "cv2", None)
    node = {"_target_": "pamiq_exp.environments.Camera", "source": 0}
    (problem,) = Builder(AllowList()).errors(node, "environment.sensors.image")
    assert "Camera needs the module cv2, which is not installed" in str(problem)
    assert "[vrchat]'" in str(problem)


@pytest.mark.parametrize(
    ("shape", "size", "middle"),
    [((40, 80), (20, 20), 40), ((80, 40), (20, 20), 40), ((40, 80), (20, 40), 80), ((10, 10), (30, 30), 10)],
)
def test_cover_crops_in_the_middle_without_distortion(
    shape: tuple[int, int], size: tuple[int, int], middle: int
) -> None:
    columns = np.broadcast_to(np.arange(shape[1], dtype=np.uint8)[None, :, None], (*shape, 3))
    picture: NDArray[np.uint8] = cover(np.ascontiguousarray(columns), size)
    assert picture.shape == (*size, 3)
    shown = int(picture[0, -1, 0]) - int(picture[0, 0, 0])
    assert abs(shown - middle) <= 3, "so many columns are in the picture"
    assert abs(int(picture[0, size[1] // 2, 0]) - shape[1] // 2) <= 2


def test_camera_opens_files_with_the_file_protocol_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pamiq_exp.environments.camera import capture

    allowed: list[str | None] = []
    monkeypatch.setattr(capture.cv2, "VideoCapture", lambda *_: allowed.append(os.environ.get(capture.FFMPEG_OPTIONS)))
    monkeypatch.delenv(capture.FFMPEG_OPTIONS, raising=False)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\nhttp://127.0.0.2:9/x.ts\n")
    capture.open_device(str(tmp_path / "list.m3u8"), 1.0)
    assert allowed == ["protocol_whitelist;file"]
    assert capture.FFMPEG_OPTIONS not in os.environ


def test_find_source_refuses_protocols_without_an_address() -> None:
    from pamiq_exp.environments.camera.capture import find_source

    for source in ("concat:/etc/hostname", "rtsp:127.0.0.2", "subfile,,start,0,end,9,,:/etc/hostname"):
        with pytest.raises(OSError, match="there is no camera, video file or stream"):
            find_source(source)
