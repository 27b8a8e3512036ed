"""A malicious current folder: none of its code runs, and no library takes settings from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread

import pytest

from tests.conftest import REPOSITORY
from tests.security.traps import TrapFolder

HELD_BY_GIT = {"read .git/HEAD", "read .git/refs/heads/master", "read .git/refs/heads/main"}
"""Files that a run reads to record the commit of the code; they hold names only."""

SMALL = ["launcher.max_steps=10", "tracking=jsonl_only"]


@pytest.fixture
def server() -> Iterator[tuple[int, list[bytes]]]:
    """A server that must get no connection: its port, and what it received."""
    heard: list[bytes] = []

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(4096))

    with TCPServer(("127.0.0.1", 0), Handler) as listening:
        Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield listening.server_address[1], heard
        listening.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> TrapFolder:
    return TrapFolder(tmp_path)


def python(folder: TrapFolder, code: str, *words: str) -> list[str]:
    """Run code without protection, and return the files of the folder that it read or ran."""
    place = folder.path.parent
    folder.forget_what_python_imports_first()
    for name in ("linecache", "traceback"):  # Python 3.13 imports them for any `python -c`
        (folder.path / f"{name}.py").unlink(missing_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "PYTHONPATH": str(place / "watch"),
        "WATCHED_FOLDER": str(folder.path),
        "WATCH_LOG": str(place / "log"),
    }
    subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder.path, env=environment, check=False, capture_output=True
    )
    marker = place / "marker"
    return [*(marker.read_text().split() if marker.exists() else []), *(place / "log").read_text().splitlines()]


def test_trap_folder_affects_programs_without_protection(folder: TrapFolder) -> None:
    assert "joblib" in python(folder, "import joblib")
    free = "import sys; sys.path.remove(''); "
    assert "read .numba_config.yaml" in python(folder, f"{free}import numba")
    assert "read matplotlibrc" in python(folder, f"{free}import matplotlib")
    assert "git" in python(folder, f"{free}import subprocess; subprocess.run(['git', 'diff', 'HEAD'])")
    assert "read .wandb/settings" in python(folder, f"{free}import wandb; wandb.setup()")


def test_current_folder_does_not_affect_a_command(folder: TrapFolder) -> None:
    outcome = folder.run("list", "experiments")
    assert (outcome.status, outcome.acted) == (0, []), outcome.output


def test_current_folder_does_not_affect_a_command_started_with_python_m(folder: TrapFolder) -> None:
    folder.forget_what_python_imports_first()
    outcome = folder.run("check", "experiment=minimum", by_module=True)
    assert (outcome.status, outcome.acted) == (0, []), outcome.output


def test_current_folder_does_not_affect_a_run(folder: TrapFolder) -> None:
    outcome = folder.run("experiment=minimum", *SMALL)
    assert outcome.status == 0, outcome.output
    assert set(outcome.acted) <= HELD_BY_GIT
    manifest = next((folder.path / "outputs").rglob("manifest.json")).read_text()
    assert '"dirty": true' in manifest


def test_current_folder_does_not_set_the_wandb_address(folder: TrapFolder) -> None:
    code = (
        f"import sys; sys.path[0] = {str(REPOSITORY)!r}\nimport wandb\n"
        "from pamiq_exp.tracking.wandb_tracker import logged_in\nlogged_in()\n"
        "assert '127.0.0.1' not in wandb.setup().settings.base_url\nopen(sys.argv[1], 'w').close()"
    )
    acted = python(folder, code, str(folder.path.parent / "done"))
    assert acted == []
    assert (folder.path.parent / "done").exists()


@pytest.mark.slow
def test_current_folder_does_not_redirect_wandb_data_of_a_run(
    folder: TrapFolder, server: tuple[int, list[bytes]]
) -> None:
    for name in ("wandb", ".wandb"):
        (folder.path / name / "settings").write_text(
            f"[default]\nbase_url = http://127.0.0.1:{server[0]}\nmode = online\n"
        )
    outcome = folder.run("experiment=minimum", "launcher.max_steps=10", WANDB_API_KEY="k" * 40, WANDB_MODE="offline")
    assert outcome.status == 0, outcome.output
    assert set(outcome.acted) <= HELD_BY_GIT
    assert server[1] == []


COMMANDS = {
    "check": [["check", "experiment=curiosity_noise_world"]],
    "run of a compiled world": [["experiment=curiosity_noise_world", "world=clean", *SMALL]],
    "basic": [["-m", "experiment=minimum", "seed=0,1", *SMALL]],
    "joblib": [["-m", "experiment=minimum", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *SMALL]],
    "submitit": [["-m", "experiment=minimum", "seed=0", "hydra/launcher=submitit_local", *SMALL]],
    "ray": [["-m", "experiment=minimum", "seed=0", "hydra/launcher=ray", *SMALL]],
    "search": [["-m", "experiment=minimum", "hydra/sweeper=search", "hydra.sweeper.metric=return_mean",
                "hydra.sweeper.trials=1", "interaction.agent.seed=range(3)", *SMALL]],
    "asynchronous environments": [
        ["experiment=minimum", "+environment.vectorization=async", "environment.num_envs=2", *SMALL]
    ],
    "what is done with a run": [
        ["experiment=minimum", "launcher.checkpoint.every_steps=5", *SMALL, "hydra.run.dir=outputs/run"],
        ["report", "outputs/run", "-o", "sent/report"], ["diff", "outputs/run", "outputs/run"],
        ["export", "outputs/run", "-o", "sent/paper.yaml"], ["resume", "outputs/run", "launcher.max_steps=20"],
        ["reproduce", "sent/paper.yaml", "--yes"], ["completion", "words", "--", "experiment="],
        ["sweep-status", "outputs/run"], ["console", "outputs/run"],
    ],
}  # fmt: skip


ASKED_BY_RAY = {"connect ('169.254.169.254', 80)"}
"""Address of the metadata service of a cloud, to which Ray connects even if its statistics are off."""


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMANDS)
def test_current_folder_does_not_affect_any_command_or_executor(folder: TrapFolder, case: str) -> None:
    if case == "ray":
        pytest.importorskip("ray", reason="needs the extra [ray]")
    for words in COMMANDS[case]:
        outcome = folder.run(*words, WANDB_MODE="offline", SDL_VIDEODRIVER="dummy")
        assert "Traceback" not in outcome.output
        assert outcome.status in ((1, 2) if words[0] in ("sweep-status", "console") else (0,)), outcome.output
        assert set(outcome.acted) <= HELD_BY_GIT | (ASKED_BY_RAY if case == "ray" else set()), words


def test_workers_forget_it_sets_safe_path_only_within_its_context(monkeypatch: pytest.MonkeyPatch) -> None:
    from pamiq_exp.current_folder import workers_forget_it

    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    code = "import sys; sys.exit(not sys.flags.safe_path)"
    with workers_forget_it():
        assert subprocess.call([sys.executable, "-c", code]) == 0
    assert subprocess.call([sys.executable, "-c", code]) == 1


def test_current_folder_settings_that_are_pipes_do_not_block_imports(tmp_path: Path) -> None:
    for name in (".numba_config.yaml", "matplotlibrc"):
        subprocess.check_call(("mkfifo", str(tmp_path / name)))
    code = (
        f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from pamiq_exp.current_folder import forget_current_folder\nforget_current_folder()\n"
        "import matplotlib, pamiq_exp.compiling, os\nassert os.getcwd() == sys.argv[1]"
    )
    subprocess.check_call([sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, timeout=100)


def test_current_folder_entry_point_is_the_main_module() -> None:
    assert 'pamiq_exp = "pamiq_exp.__main__:main"' in (REPOSITORY / "pyproject.toml").read_text()
