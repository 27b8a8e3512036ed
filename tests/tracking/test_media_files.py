"""Files of pictures and videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pamiq_exp.media import Picture, Video
from pamiq_exp.tracking.media_files import file_name, write_media
from tests.cases import error_of


def test_media_a_picture_is_kept_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    path = write_media(Picture("reconstructions/first", pixels), tmp_path / "media", 1200)
    assert path == tmp_path / "media" / "reconstructions_first_000001200.png"
    assert np.array_equal(np.asarray(Image.open(path)), pixels)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 47)])
def test_media_a_video_plays_its_frames_in_order_at_its_rate(tmp_path: Path, height: int, width: int) -> None:
    av = pytest.importorskip("av", reason="films need PyAV: extra video")
    shades = np.linspace(20, 230, 12).astype(np.uint8)
    frames = np.broadcast_to(shades[:, None, None, None], (12, height, width, 3))
    path = write_media(Video("view", frames, 10.0), tmp_path, 5)
    assert path.name == "view_000000005.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 10.0
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        played = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(played) == 12
    assert played[0].shape == (height + height % 2, width + width % 2, 3)
    for frame, shade in zip(played, shades, strict=True):
        assert abs(float(frame.mean()) - float(shade)) < 4


def test_write_media_refuses_pixels_of_a_wrong_shape_or_type(tmp_path: Path) -> None:
    items: list[Picture | Video] = [
        Picture("p", np.zeros((4, 4), dtype=np.uint8)),
        Picture("p", np.zeros((4, 4, 3))),  # type: ignore[arg-type]
        Video("v", np.zeros((0, 4, 4, 3), dtype=np.uint8), 10.0),
        Video("v", np.zeros((4, 4, 3), dtype=np.uint8), 10.0),
    ]
    for item in items:
        assert f"'{item.name}' must be" in error_of(ValueError, write_media, item, tmp_path, 0), item
        assert list(tmp_path.iterdir()) == [], item


def test_file_name_is_safe_for_any_media_name() -> None:
    names = {"a/b c": "a_b_c", "../../etc/x": "etc_x", "": "media", "日本": "日本"}
    assert {name: file_name(name) for name in names} == names
