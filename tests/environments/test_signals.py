"""A signal to all processes of a run saves and stops it; helper processes run until they are closed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.environments.troubled import programs

SCRIPT = """
import sys
from pathlib import Path
from pamiq_exp.agents import RandomAgent
from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.interaction import FixedIntervalInteraction
from pamiq_exp.runtime import LaunchConfig, launch
from pamiq_exp.spaces import describe_action
from tests.environments.troubled import Walk, WithProgram

folder, vectorization, program = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "program"
(folder / "programs").mkdir()
environment = GymnasiumEnvironment(
    make=WithProgram if program else Walk, num_envs=2, vectorization=vectorization,
    kwargs={"folder": str(folder / "programs")} if program else {},
)
agent = RandomAgent(describe_action(environment.action_space), 2, seed=0)
turns = 0
affect = environment.affect
def counted(action):
    global turns
    affect(action)
    turns += 1
    if turns == 5:
        (folder / "runs").touch()
environment.affect = counted
interaction = FixedIntervalInteraction(agent, environment, 0.01)
launch(interaction, config=LaunchConfig(mode="realtime"), folder=folder / "run")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vectorization", "helper", "number"),
    [
        ("sync", "program", signal.SIGINT),
        ("async", "program", signal.SIGINT),
        ("async", "none", signal.SIGTERM),
        ("sync", "program", signal.SIGTERM),  # it ends the program, too
        ("async", "program", signal.SIGTERM),
    ],
)
def test_signals_to_the_process_group_save_and_stop_the_run(
    vectorization: str, helper: str, number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), vectorization, helper]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "runs").exists():
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["state"] == "stopped", errors.decode()
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
    assert not any(programs(tmp_path / "programs").values())
