"""Helper functions for tests of sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXPERIMENT = """\
# @package _global_
defaults:
  - override /interaction: unpaced
  - override /launcher: lockstep
  - override /tracking: jsonl_only

experiment_name: failing
environment:
  _target_: tests.config.parts.Room
interaction:
  agent:
    _target_: tests.cli.sweep_parts.FailingAgent
    action: ${spaces.action}
    num_envs: ${spaces.num_envs}
    failure: none
    at: 10
    marker: null
    seconds: 0.0
    meeting: null
metrics:
  score:
    _target_: tests.cli.sweep_parts.Score
    rate: 0.1
    broken_above: .inf
launcher:
  max_steps: 20
  record_every_steps: 1
  checkpoint: {every_steps: 5}
"""


def write_experiment(folder: Path) -> list[str]:
    """Write the experiment below `folder` and return the words of a command line that run it."""
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "failing.yaml").write_text(EXPERIMENT)
    return ["--config-dir", str(folder / "conf"), "--allow", "tests", "experiment=failing"]


def sweep_folder(below: Path) -> Path:
    """Return the one sweep below a folder."""
    (plan,) = (below / "outputs" / "sweeps").glob("*/*/sweep.json")
    return plan.parent


def read(path: Path) -> Any:
    """Return what a JSON file holds."""
    return json.loads(path.read_text())


def states(sweep: Path) -> list[str]:
    """Return the state of each job that has begun, in order."""
    manifests = sorted(sweep.glob("[0-9]*/manifest.json"), key=lambda path: int(path.parent.name))
    return [read(manifest)["state"] for manifest in manifests]
