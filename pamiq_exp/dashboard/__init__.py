"""The page in the browser: runs, sweeps and folders of them, live and afterwards."""

from pamiq_exp.dashboard.server import DashboardError, Settings, serve

__all__ = [
    "DashboardError",
    "Settings",
    "serve",
]
