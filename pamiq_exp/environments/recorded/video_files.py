"""Videos as a world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gymnasium import spaces

from pamiq_exp.component import State
from pamiq_exp.environments.recorded.reader import VideoReader, fitted
from pamiq_exp.interaction import Array, Environment, Observation

ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ogv", ".gif")


class VideoFiles(Environment):
    """Shows videos, a frame per turn, for learning from observations alone; actions have no effect.

    Each video is an episode: its last frame is truncated, and the next turn begins the next video. Environments begin
    with different videos, or at different frames of a single one.

    It observes `image`, `(num_envs, image_size, image_size, 3)` uint8: frames are cut to a centered square and resized.

    Args:
        path: A video, or a folder of videos, which are shown in the order of their names.
        image_size: Pixels a side.
        stride: Show every n-th frame.
        num_envs: Number of videos seen at once.

    Raises:
        ValueError: There are no videos, or one cannot be read.
    """

    private = True
    has_rewards = False

    def __init__(self, path: str, image_size: int = 64, stride: int = 1, num_envs: int = 1) -> None:
        if min(image_size, stride, num_envs) < 1:
            raise ValueError("image_size, stride and environments of a video world must be at least 1")
        self._files = _videos(Path(path))
        self._size, self._stride = image_size, stride
        self.num_envs = num_envs
        self.observation_space = spaces.Dict({"image": spaces.Box(0, 255, (image_size, image_size, 3), np.uint8)})
        self.action_space = spaces.Discrete(1)
        self._players = [self._player(env) for env in range(num_envs)]

    def _player(self, env: int) -> _Player:
        player = _Player(self._files, env % len(self._files), self._size, self._stride)
        rounds = -(
            -self.num_envs // len(self._files)
        )  # so many environments share a video: each begins in another part of it
        part = env // len(self._files)
        if part:
            player.seek(player.file, player.length() * part // rounds // self._stride * self._stride)
        return player

    def observe(self) -> Observation:
        """See `Environment`."""
        images = np.stack([player.image for player in self._players])
        never = np.zeros(self.num_envs, dtype=np.bool_)
        last = np.array([player.last for player in self._players])
        return Observation({"image": images}, np.zeros(self.num_envs, dtype=np.float32), never, last)

    def affect(self, action: Array) -> None:
        """Show the next frame, whatever the action."""
        for player in self._players:
            player.advance()

    def teardown(self) -> None:
        """Let the files go."""
        for player in self._players:
            player.close()

    def state(self) -> State:
        """Which frame of which video each environment shows."""
        return {"places": [[player.file, player.number] for player in self._players]}

    def load_state(self, state: State) -> None:
        """See `Component`."""
        for player, (file, number) in zip(self._players, state["places"], strict=True):
            player.seek(int(file), int(number))


class _Player:
    """One environment: a frame, and the one after it, which shows whether this is the last."""

    def __init__(self, files: list[Path], file: int, size: int, stride: int) -> None:
        self._files, self._size, self._stride = files, size, stride
        self._reader: VideoReader | None = None
        self.file, self.number = file, 0
        self.seek(file, 0)

    @property
    def last(self) -> bool:
        """Whether no frame of this video follows."""
        return self._following is None

    def seek(self, file: int, number: int) -> None:
        """Show frame `number` of a video."""
        if self._reader is None or file != self.file:
            self.close()
            self._reader = VideoReader(self._files[file])
        self.file, self.number = file, number
        image = self._read(number)
        if image is None:
            raise ValueError(f"{self._files[file]} has no frame {number}; was it replaced by another video?")
        self.image = image
        self._following = self._read(number + self._stride)

    def advance(self) -> None:
        """Show the next frame, or the first of the next video."""
        if self._following is None:
            self.seek((self.file + 1) % len(self._files), 0)
        else:
            self.number += self._stride
            self.image = self._following
            self._following = self._read(self.number + self._stride)

    def length(self) -> int:
        """Return the number of frames of this video, by going through it."""
        reader = VideoReader(self._files[self.file])
        count = 0
        while reader.frame(count) is not None:
            count += 1
        reader.close()
        return count

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _read(self, number: int) -> Array | None:
        assert self._reader is not None
        frame = self._reader.frame(number)
        return None if frame is None else fitted(frame, self._size)


def _videos(path: Path) -> list[Path]:
    if path.is_file():
        return [path.resolve()]
    if not path.is_dir():
        raise ValueError(f"there is no video or folder {path}")
    files = sorted(file for file in path.iterdir() if _is_video(file))
    if not files:
        raise ValueError(f"there is no video in {path}; known are files that end in {', '.join(ENDINGS)}")
    return files


def _is_video(file: Path) -> bool:
    named = file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    return named and file.is_file() and not file.is_symlink()
