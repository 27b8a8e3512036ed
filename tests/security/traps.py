"""A malicious current folder, with each kind of file that some program would run or read."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

BEFORE_US = {
    "collections", "contextlib", "functools", "importlib", "keyword", "operator", "reprlib", "types", "warnings",
}  # fmt: skip
"""Modules that Python imports for `python -m` before it runs the package."""

DEPENDENCIES = (
    "alembic", "av", "click", "cloudpickle", "cv2", "dotenv", "filelock", "fsspec", "gymnasium", "hydra", "joblib",
    "lightning", "llvmlite", "loky", "matplotlib", "numba", "numpy", "omegaconf", "optuna", "orjson", "PIL", "psutil",
    "pydantic", "pygame", "ray", "requests", "rich", "safetensors", "scipy", "setuptools", "sqlalchemy", "submitit",
    "tensorboard", "torch", "tqdm", "triton", "wandb", "yaml", "sitecustomize", "usercustomize", "evil", "conftest",
)  # fmt: skip

SETTINGS = {
    ".numba_config.yaml": "cache_dir: ./cache\ndisable_jit: 1\n",
    "matplotlibrc": "backend: module://evil\ntext.usetex: True\n",
    "wandb/settings": "[default]\nbase_url = http://127.0.0.1:{port}\nmode = online\n",
    ".wandb/settings": "[default]\nbase_url = http://127.0.0.1:{port}\n",
    ".env": "WANDB_BASE_URL=http://127.0.0.1:{port}\nPYTHONPATH=.\n",
    ".netrc": "machine api.wandb.ai login user password {password}\n",
    "pyproject.toml": "[tool.ray]\naddress = 'evil'\n[tool.hydra]\nx = 1\n",
    "setup.cfg": "[build_ext]\ninplace = 1\n[options.entry_points]\nhydra = evil\n",
    "pip.conf": "[global]\nindex-url = http://127.0.0.1:{port}\n",
    "ray.yaml": "address: evil\n",
    "optuna.ini": "[alembic]\nscript_location = evil\n",
    "alembic.ini": "[alembic]\nscript_location = evil\n",
    "logging.conf": "[loggers]\nkeys=root\n",
    ".pdbrc": "import evil\n",
    "_vizdoom.ini": "x = 1\n",
    "pyvenv.cfg": "home = .\n",
    "python311._pth": ".\n",
    "pamiq_exp.pth": "import evil\n",
    "evil-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n",
    "evil-1.0.dist-info/entry_points.txt": "[pamiq_exp.targets]\nevil = evil\n[submitit]\nx = evil:x\n",
    "hydra_plugins/evil/__init__.py": "{payload}",
    ".hydra/config.yaml": "hydra: {{callbacks: {{x: {{_target_: evil.X}}}}}}\n",
    "hydra.yaml": "x: 1\n",
    "config.yaml": "x: 1\n",
    ".gitattributes": "* filter=x diff=x\n",
    "tracked.txt": "changed\n",
}
"""Files from which some library takes settings when they lie in the current folder."""

PROGRAM = """\
import sys
from pamiq_exp.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""
"""The script that an installer writes for the entry point."""

WATCH = """
import os, sys
_folder, _log = os.environ["WATCHED_FOLDER"], os.environ["WATCH_LOG"]
_expected = ("conf", "outputs", "sent")
def _note(text):
    descriptor = os.open(_log, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, (text + "\\n").encode())
    os.close(descriptor)
def _watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.join(os.getcwd(), os.fsdecode(arguments[0]))
        inside = os.path.relpath(path, _folder)
        ours = inside.startswith("..") or inside == "." or inside.split(os.sep)[0] in _expected
        if not ours and os.path.lexists(path):
            _note("read " + inside)
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        _note("connect " + str(arguments[1]))
sys.addaudithook(_watch)
"""
"""Runs in each process of the tree: notes each file of the folder that is opened, and each connection."""


@dataclass(frozen=True)
class Trapped:
    """The result of a command in the folder, and the files of the folder that it read or ran."""

    status: int
    output: str
    acted: list[str]


class TrapFolder:
    """A folder of traps, with a home folder and environment variables for commands that run in it.

    Args:
        place: An empty folder.
        port: Where a server listens that must get no connection.
    """

    def __init__(self, place: Path, port: int = 9) -> None:
        self.path, self._marker, self._log = place / "here", place / "marker", place / "log"
        self._home, self._watch = place / "home", place / "watch"
        for folder in (self.path, self._home, self._watch):
            folder.mkdir()
        self._log.touch()
        (self._watch / "sitecustomize.py").write_text(WATCH)
        (place / "program").write_text(PROGRAM)
        self._program = place / "program"
        payload = f"open({str(self._marker)!r}, 'a').write(__name__ + '\\n')\n"
        for name in {*sys.stdlib_module_names, *DEPENDENCIES, "__future__"} - {"antigravity", "this"}:
            (self.path / f"{name}.py").write_text(payload)
        self._add_repository()
        for name, text in SETTINGS.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text.format(port=port, password="x" * 40, payload=payload))

    def _add_repository(self) -> None:
        """A repository whose settings name programs, with a tracked file that is about to change."""
        git = ("git", "-C", str(self.path), "-c", "user.name=n", "-c", "user.email=e@example.org")
        (self.path / "tracked.txt").write_text("as it was\n")
        for words in (["init", "-q"], ["add", "tracked.txt"], ["commit", "-qm", "first"]):
            subprocess.check_call((*git, *words))
        act = f"echo git >> {self._marker}; cat"
        for key in ("filter.x.clean", "filter.x.smudge", "filter.x.process", "diff.x.textconv", "diff.x.command",
                    "diff.external", "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor",
                    "alias.diff", "credential.helper"):  # fmt: skip
            subprocess.check_call((*git, "config", key, f"!{act}" if key.startswith(("alias", "cred")) else act))
        (self.path / ".git" / "more").write_text(f"[core]\n\tfsmonitor = {act}\n")
        subprocess.check_call((*git, "config", "include.path", "more"))

    def forget_what_python_imports_first(self) -> None:
        """Remove the modules that Python imports for `python -m` before it runs the package."""
        for name in (*BEFORE_US, "__future__"):
            (self.path / f"{name}.py").unlink(missing_ok=True)

    def run(self, *words: str, by_module: bool = False, **environment: str) -> Trapped:
        """Run a command line in the folder: the program, or `python -m pamiq_exp`."""
        program = [sys.executable, *(["-m", "pamiq_exp"] if by_module else [str(self._program)])]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "PYTHON"))}
        done = subprocess.run(
            [*program, *words],
            cwd=self.path,
            env={**clean, "HOME": str(self._home), "PYTHONPATH": f"{self._watch}:{REPOSITORY}",
                 "WATCHED_FOLDER": str(self.path), "WATCH_LOG": str(self._log), **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=250,
        )  # fmt: skip
        acted = [f"ran {name}" for name in self._marker.read_text().split()] if self._marker.exists() else []
        return Trapped(
            done.returncode, done.stdout + done.stderr, acted + sorted(set(self._log.read_text().splitlines()))
        )
