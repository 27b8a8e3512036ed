"""TODO first line."""

from pamiq_exp.recording.live_view import LiveView
from pamiq_exp.recording.reader import RecordedActions
from pamiq_exp.recording.run_recorder import RunRecorder
from pamiq_exp.recording.video import VideoRecorder

__all__ = [
    "LiveView",
    "RecordedActions",
    "RunRecorder",
    "VideoRecorder",
]
