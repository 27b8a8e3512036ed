"""Where records go: the run folder, Weights & Biases, Lightning's loggers, the terminal."""

from pamiq_exp.run_folder.records import AXES, Record, Value
from pamiq_exp.tracking.dashboard_tracker import DashboardTracker
from pamiq_exp.tracking.jsonl import JsonlTracker
from pamiq_exp.tracking.lightning_logger import LightningLoggerTracker
from pamiq_exp.tracking.terminal import TerminalTracker
from pamiq_exp.tracking.tracker import RunInfo, Tracker
from pamiq_exp.tracking.wandb_tracker import WandbTracker
from pamiq_exp.tracking.writer import RecordWriter

__all__ = [
    "AXES",
    "DashboardTracker",
    "JsonlTracker",
    "LightningLoggerTracker",
    "Record",
    "RecordWriter",
    "RunInfo",
    "TerminalTracker",
    "Tracker",
    "Value",
    "WandbTracker",
]
