"""What the records of a run consist of: one flat row each, with the same axes in all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Value: TypeAlias = float | int | str
Record: TypeAlias = Mapping[str, Value]
"""One flat row: the axes below, then metrics named `<source>/<name>`."""

AXES = (
    "source",
    "environment_step",
    "wall_seconds",
    "run_seconds",
    "model_version",
    "training_step",
    "observation_age_seconds",
)
"""The axes that every record carries, in the order in which they are written."""

PLOT_AXES = ("environment_step", "wall_seconds", "run_seconds", "training_step", "model_version")
"""The axes over which metrics are drawn, the usual one first."""

HEADLINE_METRICS = ("coverage_auc", "coverage", "return_mean", "reward_mean")
"""Final metrics by which arms and jobs are compared: the first of these that they have."""
