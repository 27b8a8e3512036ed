"""Recorders of runs: videos for people, and recordings that can be played back."""

from pamiq_exp.recording.reader import RecordedActions
from pamiq_exp.recording.run_recorder import RunRecorder
from pamiq_exp.recording.video import VideoRecorder

__all__ = [
    "RecordedActions",
    "RunRecorder",
    "VideoRecorder",
]
