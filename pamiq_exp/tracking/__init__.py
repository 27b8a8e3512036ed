"""Where records go: the run folder, Weights & Biases, Lightning's loggers, the terminal."""

from pamiq_exp.files import write_atomically
from pamiq_exp.tracking.dashboard_tracker import DashboardTracker
from pamiq_exp.tracking.folder_lock import Owner, RunFolderError, owner_of
from pamiq_exp.tracking.jsonl import JsonlTracker
from pamiq_exp.tracking.lightning_logger import LightningLoggerTracker
from pamiq_exp.tracking.manifest import machine, package_versions, source_hash
from pamiq_exp.tracking.run_folder import RunFolder, read_manifest, user_path
from pamiq_exp.tracking.secrets import mask_secrets, mask_text, mask_yaml
from pamiq_exp.tracking.terminal import TerminalTracker
from pamiq_exp.tracking.tracker import AXES, Record, RunInfo, Tracker, Value
from pamiq_exp.tracking.wandb_tracker import WandbTracker
from pamiq_exp.tracking.writer import RecordWriter

__all__ = [
    "AXES",
    "DashboardTracker",
    "JsonlTracker",
    "LightningLoggerTracker",
    "Owner",
    "Record",
    "RecordWriter",
    "RunFolder",
    "RunFolderError",
    "RunInfo",
    "TerminalTracker",
    "Tracker",
    "Value",
    "WandbTracker",
    "machine",
    "mask_secrets",
    "mask_text",
    "mask_yaml",
    "owner_of",
    "package_versions",
    "read_manifest",
    "source_hash",
    "user_path",
    "write_atomically",
]
