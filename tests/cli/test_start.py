"""How the program starts: quickly, and only with what it needs."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pamiq_exp.cli import command_names
from tests.conftest import Command

HEAVY = ("torch", "lightning", "lightning_fabric", "wandb", "numba", "gymnasium", "matplotlib")


MINE = """\
# @package _global_
defaults:
  - override /environment: gymnasium
  - override /interaction: unpaced
  - override /tracking: jsonl_only
experiment_name: mine
interaction:
  agent: {_target_: my_package.Still, num_envs: "${spaces.num_envs}"}
launcher: {max_steps: 20}
"""


def python(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the interpreter in `folder`, with this checkout installed as a user would have it."""
    repository = str(Path(__file__).resolve().parents[2])
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": repository, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def loaded(code: str, folder: Path) -> set[str]:
    result = python("-c", f"{code}\nimport sys; print('modules:', *sys.modules)", folder=folder)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.rpartition("modules:")[2].split())


def test_start_importing_the_package_loads_no_heavy_module(tmp_path: Path) -> None:
    modules = loaded("import pamiq_exp; print(pamiq_exp.__version__)", tmp_path)
    assert modules.isdisjoint(HEAVY)
    assert {name for name in modules if name.startswith("pamiq_exp.")} == {"pamiq_exp._version", "pamiq_exp.lazy"}


@pytest.mark.parametrize(
    "words", [["--help"], ["--cfg", "job", "experiment=minimum"], ["--info", "defaults-tree", "experiment=minimum"]]
)
def test_cli_help_and_config_printing_load_no_heavy_module(words: list[str], tmp_path: Path) -> None:
    code = f"from pamiq_exp.cli import main\nassert main({words}) == 0"
    assert loaded(code, tmp_path).isdisjoint(HEAVY)


def test_cli_help_takes_less_than_a_second_and_a_half_of_cpu_time(tmp_path: Path) -> None:
    """CPU time does not depend on other programs on the machine."""
    durations = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = python("-m", "pamiq_exp", "--help", folder=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        durations.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert "python -m pamiq_exp experiment=NAME" in result.stdout
    assert min(durations) < 1.5


def test_cli_help_lists_every_command(command: Command) -> None:
    text = command("--help").out
    for name in command_names():
        assert name == "run" or f"python -m pamiq_exp {name} " in text


def test_start_public_names_exist_and_unknown_ones_raise_attribute_error() -> None:
    import pamiq_exp

    for name in pamiq_exp.__all__:
        assert getattr(pamiq_exp, name) is not None
    assert set(dir(pamiq_exp)) == set(pamiq_exp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lunch'"):
        _ = pamiq_exp.lunch


def test_start_finds_a_package_in_the_current_folder_once_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "my_package.py").write_text(
        "from pamiq_exp import Agent\n\n\nclass Still(Agent):\n"
        "    def __init__(self, num_envs):\n        super().__init__()\n        self.num_envs = num_envs\n\n"
        "    def step(self, observation):\n        import numpy\n\n"
        "        return numpy.zeros((self.num_envs, 1), dtype=numpy.int64)\n"
    )
    experiment = tmp_path / "conf" / "experiment"
    experiment.mkdir(parents=True)
    (experiment / "mine.yaml").write_text(MINE)
    words = ["-m", "pamiq_exp", "--config-dir", "conf", "experiment=mine"]
    refused = python(*words, folder=tmp_path)
    assert refused.returncode == 2
    assert "--allow my_package" in refused.stderr
    result = python(*words, "--allow", "my_package", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "mine: finished after 20 steps" in result.stdout


def test_cli_exits_with_sigpipe_status_when_the_output_is_closed(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    repository = str(Path(__file__).resolve().parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "pamiq_exp", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": repository},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
