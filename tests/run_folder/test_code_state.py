"""Reading the commit and the changes of a repository runs no program that the repository configures."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pamiq_exp.run_folder.code_state import code_state


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "protocol.file.allow=always")
    return subprocess.check_output(("git", "-C", str(folder), *identity, *words), text=True).strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "a/branch")
    (folder / "a.txt").write_text("x\n")
    git(folder, "add", "a.txt")
    git(folder, "commit", "-qm", "first")
    return folder


PROGRAMS = ["filter.x.clean", "filter.x.smudge", "filter.x.process", "diff.x.textconv", "diff.x.command",
            "diff.external", "core.fsmonitor", "core.pager", "core.editor", "core.sshCommand",
            "credential.helper"]  # fmt: skip


@pytest.mark.parametrize("where", ["config", "included", "worktree"])
def test_code_state_runs_no_program_of_the_repository(repository: Path, where: str) -> None:
    marker = repository.parent / "marker"
    (repository / ".gitattributes").write_text("* filter=x diff=x\n")
    target = repository / ".git" / {"config": "config", "included": "more", "worktree": "config.worktree"}[where]
    if where == "included":
        git(repository, "config", "include.path", "more")
    if where == "worktree":
        git(repository, "config", "extensions.worktreeConfig", "true")
    for key in PROGRAMS:
        git(repository, "config", "--file", str(target), key, f"touch {marker}; cat")
    git(repository, "config", "--file", str(target), "filter.x.required", "true")
    for name in ("post-index-change", "reference-transaction"):
        hook = repository / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.chmod(0o755)
    (repository / "a.txt").write_text("y\n")
    state, diff = code_state(repository)
    assert not marker.exists()
    assert state["dirty"]
    assert "+y" in diff


def test_code_state_fetches_nothing_for_a_partial_clone(repository: Path) -> None:
    marker = repository.parent / "marker"
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.url", f"ext::sh -c touch% {marker}")
    git(repository, "config", "remote.origin.promisor", "true")
    git(repository, "config", "protocol.ext.allow", "always")
    blob = git(repository, "rev-parse", "HEAD:a.txt")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    (repository / "a.txt").write_text("y\n")
    code_state(repository)
    assert not marker.exists()


def test_code_state_runs_no_program_of_a_submodule(repository: Path) -> None:
    marker = repository.parent / "marker"
    git(repository, "submodule", "--quiet", "add", str(repository), "sub")
    git(repository, "commit", "-qm", "second")
    (repository / "sub" / ".gitattributes").write_text("* filter=x\n")
    (repository / "sub" / "a.txt").write_text("y\n")
    for key in PROGRAMS:
        git(repository / "sub", "config", key, f"touch {marker}; cat")
    assert code_state(repository)[0]["commit"] == git(repository, "rev-parse", "HEAD")
    assert not marker.exists()


def test_code_state_reads_a_worktree_from_a_subfolder(repository: Path) -> None:
    other = repository.parent / "other"
    git(repository, "worktree", "add", "-q", str(other))
    (other / "below").mkdir()
    (other / "below" / "b.txt").write_text("x\n")
    git(other, "add", "below")
    git(other, "commit", "-qm", "second")
    (other / "below" / "new.txt").write_text("x\n")
    state, _ = code_state(other / "below")
    assert state == {"commit": git(other, "rev-parse", "HEAD"), "dirty": False, "untracked": ["new.txt"]}


def test_code_state_reads_packed_refs_and_a_detached_head(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "pack-refs", "--all")
    assert code_state(repository)[0]["commit"] == commit
    git(repository, "checkout", "-q", "--detach")
    assert code_state(repository)[0]["commit"] == commit


def test_code_state_omits_files_that_git_ignores(repository: Path) -> None:
    (repository / ".git" / "info").mkdir(exist_ok=True)
    (repository / ".git" / "info" / "exclude").write_text("mine.txt\n")
    (repository / "mine.txt").write_text("x\n")
    assert code_state(repository)[0]["untracked"] == []


def test_code_state_is_empty_for_an_invalid_head(repository: Path) -> None:
    (repository.parent / "secret").write_text("0" * 40)
    for head in ("ref: ../../secret", "ref: refs/../../../secret", "ref: HEAD", "x" * 50, ""):
        (repository / ".git" / "HEAD").write_text(head)
        assert code_state(repository) == ({}, ""), head


@pytest.mark.parametrize("name", [".git", ".git/HEAD"])
def test_code_state_does_not_wait_for_pipes(tmp_path: Path, name: str) -> None:
    (tmp_path / ".git").mkdir()
    if name == ".git":
        (tmp_path / ".git").rmdir()
    os.mkfifo(tmp_path / name)
    assert code_state(tmp_path) == ({}, "")
