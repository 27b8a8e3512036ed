"""Worlds that were recorded: a run, videos, pictures. They can be seen, not changed."""

from pamiq_exp.environments.recorded.picture_folder import PictureFolder
from pamiq_exp.environments.recorded.recorded_run import RecordedRun
from pamiq_exp.environments.recorded.video_files import VideoFiles

__all__ = [
    "PictureFolder",
    "RecordedRun",
    "VideoFiles",
]
