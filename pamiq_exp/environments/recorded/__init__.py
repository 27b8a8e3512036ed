"""Environments that replay a recorded run, videos or pictures; actions have no effect."""

from pamiq_exp.environments.recorded.picture_folder import PictureFolder
from pamiq_exp.environments.recorded.recorded_run import RecordedRun
from pamiq_exp.environments.recorded.video_files import VideoFiles

__all__ = [
    "PictureFolder",
    "RecordedRun",
    "VideoFiles",
]
