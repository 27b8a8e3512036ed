"""SIGKILL at any moment of a run leaves a complete checkpoint to resume from."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

# One process imports everything once and forks a child for each run: two hundred starts of Python and torch
# would take a quarter of an hour. It forks before any thread is started.
KILL = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from pamiq_exp.runtime import CheckpointConfig, LaunchConfig
from pamiq_exp.run_folder import list_checkpoints
from pamiq_exp.runtime.checkpoints import read_checkpoint
from pamiq_exp.runtime.process_settings import frozen_heap
from tests.runtime.parts import launch_small

frozen_heap().__enter__()  # or each child would go through all that was imported, and copy it
torch.set_num_threads(1)
folder, mode, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
draw = random.Random(seed)
config = LaunchConfig(mode=mode, checkpoint=CheckpointConfig(every_steps=5, keep=2), record_every_steps=10)

def child():
    checkpoints = list_checkpoints(folder / "checkpoints")
    launch_small(config, folder=folder, interval=0.001, resume_from=checkpoints[-1] if checkpoints else None)

reached, in_the_middle = [], 0
for kill in range(kills):
    process = os.fork()
    if process == 0:
        sys.stdout = sys.stderr = open(folder.parent / "child.log", "a")
        try:
            child()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(7)
        os._exit(0)
    before = reached[-1] if reached else 0
    # A run that resumes must come further than the one before: wait for its first save, then for a random while.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        names = [path.name for path in list_checkpoints(folder / "checkpoints")]
        if names and int(names[-1][5:]) > before:
            break
        finished, status = os.waitpid(process, os.WNOHANG)
        if finished:
            sys.exit(f"the run ended by itself with {status}: " + (folder.parent / "child.log").read_text()[-2000:])
        time.sleep(0.002)
    time.sleep(draw.uniform(0.0, 0.08))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    in_the_middle += any((folder / "checkpoints").glob(".step_*"))
    newest = list_checkpoints(folder / "checkpoints")[-1]
    steps = read_checkpoint(newest)["runtime"]["steps"]
    assert steps > before, (steps, before)
    reached.append(steps)
print("killed", len(reached), "times, of which in the middle of a save", in_the_middle)
"""


def kill_repeatedly(folder: Path, mode: str, kills: int) -> str:
    (folder / "run").mkdir()
    seed = random.randrange(10**6)
    result = subprocess.run(
        [sys.executable, "-c", KILL, str(folder / "run"), mode, str(kills), str(seed)],
        capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert result.returncode == 0, f"seed {seed}: {result.stdout}{result.stderr}"
    return result.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to start hundreds of runs in little time")
@pytest.mark.parametrize("mode", ["realtime", pytest.param("lockstep", marks=pytest.mark.slow)])
def test_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path, mode: str) -> None:
    assert "killed 8 times" in kill_repeatedly(tmp_path, mode, 8)


@pytest.mark.slow
@pytest.mark.timeout(1300)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to start hundreds of runs in little time")
def test_kill_two_hundred_times_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    output = kill_repeatedly(tmp_path, "realtime", 200)
    print(output)
    assert "killed 200 times" in output
    assert not output.endswith(" 0\n"), "no kill happened during a save"
