"""The page in the browser: runs, sweeps and folders of them, live and afterwards."""

from pamiq_exp.dashboard.live import NoAnswer
from pamiq_exp.dashboard.server import DashboardError, Settings, serve
from pamiq_exp.dashboard.watched import Sources, SweepJob

__all__ = [
    "DashboardError",
    "NoAnswer",
    "Settings",
    "Sources",
    "SweepJob",
    "serve",
]
