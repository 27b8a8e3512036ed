"""A user's own experiment, in a user's own config folder."""

from __future__ import annotations

from pathlib import Path

import pytest

DOLL = """\
# @package _global_
defaults:
  - override /interaction: unpaced
  - override /launcher: lockstep
  - override /tracking: jsonl_only

experiment_name: doll
environment:
  _target_: tests.config.parts.Room
  num_envs: 2
  size: 3
interaction:
  agent:
    _target_: tests.config.parts.Doll
    action: ${spaces.action}
    num_envs: ${spaces.num_envs}
    seed: ${derived_seed:}
    fail_at: null
    stop_at: null
metrics:
  counter:
    _target_: tests.config.parts.Counter
launcher:
  max_steps: 20
"""


def own_experiment(place: Path) -> list[str]:
    """Write a small experiment of the user's own into `conf` below `place`, and return the words that run it."""
    folder = place / "conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "doll.yaml").write_text(DOLL)
    return ["--config-dir", str(folder), "--allow", "tests.config.parts", "experiment=doll"]


@pytest.fixture
def doll(tmp_path: Path) -> list[str]:
    """The words of a command line that runs a small experiment of the user's own."""
    return own_experiment(tmp_path)
