"""Which commit the code of a run is at, and what was changed since.

A repository may come with an untrusted config, and git runs programs that a repository's own settings name: filters,
monitors, hooks, programs for differences, helpers that fetch what is missing. So git never sees those settings. It is
shown a repository folder of ours, which refers to the objects and the index of the real one and has its own settings.
Those of the user and the system are left out too: attributes in the tree could name programs that they define.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pamiq_exp.files import read_text

_SECONDS = 10.0
_MOST_BYTES = 8_000_000
_MOST_UNTRACKED = 100
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REFERENCE = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")
_PLAIN_SETTINGS = r"^core\.(filemode|symlinks|ignorecase|precomposeunicode|autocrlf|eol)$"
"""How files lie on this disk: the settings of a repository that are taken over, if their value is one plain word."""


def code_state(folder: Path) -> tuple[dict[str, Any], str]:
    """Return the git state of `folder`, and the diff of its tracked files against the last commit.

    Contents are compared as they lie there, without the filters of the repository.

    The state is `{}` without git, outside a repository, and where the repository ignores the folder. It
    holds `commit`, `dirty`, `untracked` (names) and, if dirty, `diff_sha256`.
    """
    try:
        repository = _find(folder.resolve())
        commit = None if repository is None else _commit(repository)
        if repository is None or commit is None:
            return {}, ""
        with _Git.on(repository, folder.resolve(), commit) as git:
            return _state(git, commit)
    except (OSError, subprocess.SubprocessError):
        return {}, ""


def _state(git: _Git, commit: str) -> tuple[dict[str, Any], str]:
    if not git.run("ls-files", "--", ".").start:
        return {}, ""  # such as a virtual environment that lies in a repository and does not belong to it
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=dirty")
    diff = git.run("diff", *options, "HEAD")
    names = git.run("ls-files", "--others", "--exclude-standard", *git.excludes()).start.splitlines()
    state: dict[str, Any] = {"commit": commit, "dirty": bool(diff.start), "untracked": names[:_MOST_UNTRACKED]}
    if not diff.start:
        return state, ""
    state["diff_sha256"] = diff.sha256
    if diff.size > len(diff.start.encode()):
        return state, f"the diff is {diff.size} bytes long and was not kept; its hash is in manifest.json\n"
    return state, diff.start


@dataclass(frozen=True)
class _Repository:
    """Where a repository lies: the folder that it keeps track of, its own folder, and what worktrees share of that."""

    tree: Path
    own: Path
    common: Path


@dataclass(frozen=True)
class _Output:
    """What git has printed: all of it, or the beginning of too much."""

    start: str
    size: int
    sha256: str


def _find(folder: Path) -> _Repository | None:
    for tree in (folder, *folder.parents):
        found = tree / ".git"
        if found.is_dir():
            return _Repository(tree, found, found)
        if os.path.lexists(found):
            own = Path(tree, read_text(found, most=4096).removeprefix("gitdir:").strip()).resolve()
            if not (own / "HEAD").exists():
                return None
            shared = own / "commondir"
            return _Repository(tree, own, (own / read_text(shared).strip()).resolve() if shared.exists() else own)
    return None


def _commit(repository: _Repository) -> str | None:
    """Return the commit that HEAD stands for; None before the first one."""
    words = read_text(repository.own / "HEAD").strip()
    for _ in range(5):  # a reference may stand for another one
        name = words.removeprefix("ref:").strip()
        if name == words:
            return words if _COMMIT.fullmatch(words) else None
        if not _REFERENCE.fullmatch(name) or ".." in name:
            return None
        words = _reference(repository, name)
    return None


def _reference(repository: _Repository, name: str) -> str:
    for folder in (repository.own, repository.common):
        if (folder / name).exists():
            return read_text(folder / name, within=folder).strip()
    packed = repository.common / "packed-refs"
    lines = read_text(packed, most=50_000_000).splitlines() if packed.exists() else []
    return next((line.partition(" ")[0] for line in lines if line.endswith(f" {name}")), "")


class _Git:
    """Runs git on a repository without any user's settings.

    Args:
        repository: The repository.
        folder: Where git stands.
        stand_in: The folder that git takes for the repository's own.
    """

    def __init__(self, repository: _Repository, folder: Path, stand_in: Path) -> None:
        self._repository = repository
        self._folder = folder
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_DIR": str(stand_in),
            "GIT_WORK_TREE": str(repository.tree),
            "GIT_INDEX_FILE": str(repository.own / "index"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    @classmethod
    @contextmanager
    def on(cls, repository: _Repository, folder: Path, commit: str) -> Iterator[_Git]:
        """Show git the objects and the index of a repository, at a commit, for as long as the context lasts."""
        with TemporaryDirectory(prefix="pamiq_exp_git_") as name:
            stand_in = Path(name)
            (stand_in / "refs").mkdir()
            (stand_in / "objects" / "info").mkdir(parents=True)
            objects = str(repository.common / "objects")
            _write(stand_in / "objects" / "info" / "alternates", f"{objects}\n")
            _write(stand_in / "HEAD", f"{commit}\n")
            sha256 = len(commit) == 64
            kind = "\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n[core]\n" if sha256 else ""
            git = cls(repository, folder, stand_in)
            _write(stand_in / "config", f"[core]\n{kind}\tbare = false\n")
            _write(stand_in / "config", f"[core]\n{kind}\tbare = false\n{git._plain_settings()}")
            yield git

    def run(self, *arguments: str) -> _Output:
        """Return what git prints. Raises SubprocessError if it fails, or takes too long."""
        words = ("git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *arguments)
        process = subprocess.Popen(
            words,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        timer = threading.Timer(_SECONDS, process.kill)
        timer.start()
        digest, start, size = hashlib.sha256(), bytearray(), 0
        with process:
            assert process.stdout is not None
            while piece := process.stdout.read(1 << 16):
                digest.update(piece)
                size += len(piece)
                start += piece[: _MOST_BYTES - len(start)]
        timer.cancel()
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, words)
        return _Output(start.decode(errors="replace"), size, digest.hexdigest())

    def excludes(self) -> list[str]:
        """The repository's own list of what it does not keep track of."""
        path = self._repository.common / "info" / "exclude"
        return [f"--exclude-from={path}"] if path.is_file() and not path.is_symlink() else []

    def _plain_settings(self) -> str:
        """Settings of how files lie on this disk, read as data: includes are not followed."""
        path = self._repository.common / "config"
        if not path.is_file() or path.is_symlink():
            return ""
        try:
            found = self.run("config", "--file", str(path), "--no-includes", "--get-regexp", _PLAIN_SETTINGS).start
        except subprocess.CalledProcessError:  # there are none
            return ""
        lines = [re.fullmatch(r"core\.(\w+) (\w+)", line) for line in found.splitlines()]
        return "".join(f"\t{line[1]} = {line[2]}\n" for line in lines if line is not None)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
