"""Copies of config files, which later edits do not change."""

from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.config import ConfigError, Source, compose_config, config_folder
from pamiq_exp.sweeps.copied_configs import config_files, copied_override, copy_configs_of


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's config folder with one experiment, and with things that are no configs."""
    folder = tmp_path / "own"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults: [/experiment/minimum]\nseed: 1\n")
    (folder / "outputs" / "run").mkdir(parents=True)
    (folder / "outputs" / "run" / "config.yaml").write_text("a: 1\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "hidden.yaml").write_text("a: 1\n")
    (folder / "notes.txt").write_text("no config")
    return folder


def test_copied_configs_ignore_later_edits(own: Path, tmp_path: Path) -> None:
    frozen = copy_configs_of(Source(folder=str(own)), tmp_path / "sweep")
    (own / "experiment" / "mine.yaml").write_text("# @package _global_\ndefaults: [/experiment/minimum]\nseed: 2\n")
    assert compose_config(["experiment=mine"], Source(folder=str(own))).seed == 2
    assert compose_config(["experiment=mine"], frozen).seed == 1


def test_copied_configs_are_kept_when_copied_again(own: Path, tmp_path: Path) -> None:
    copy_configs_of(Source(folder=str(own)), tmp_path / "sweep")
    (own / "experiment" / "mine.yaml").unlink()
    again = copy_configs_of(Source(folder=str(own)), tmp_path / "sweep")
    assert compose_config(["experiment=mine"], again).seed == 1


def test_copied_configs_include_all_shipped_configs(tmp_path: Path) -> None:
    frozen = copy_configs_of(Source(), tmp_path / "sweep")
    assert frozen.main is not None
    assert frozen.folder is None
    copies = {path.relative_to(frozen.main): path.read_text() for path in Path(frozen.main).rglob("*.yaml")}
    assert copies == {path.relative_to(config_folder()): path.read_text() for path in config_folder().rglob("*.yaml")}


def test_copied_configs_have_only_config_files(own: Path, tmp_path: Path) -> None:
    frozen = copy_configs_of(Source(folder=str(own)), tmp_path / "sweep")
    assert frozen.folder is not None
    copied = [path.relative_to(frozen.folder) for path in Path(frozen.folder).rglob("*") if path.is_file()]
    assert copied == [Path("experiment/mine.yaml")]


def test_copied_configs_keep_file_permissions(own: Path, tmp_path: Path) -> None:
    (own / "experiment" / "mine.yaml").chmod(0o600)
    frozen = copy_configs_of(Source(folder=str(own)), tmp_path / "sweep")
    assert (Path(str(frozen.folder)) / "experiment" / "mine.yaml").stat().st_mode & 0o777 == 0o600


def test_config_files_stop_at_a_recursive_link(own: Path) -> None:
    (own / "loop").symlink_to(own)
    assert [path.name for path in config_files(own)] == ["mine.yaml"]


def test_copied_override_copies_folders_of_the_search_path(own: Path, tmp_path: Path) -> None:
    word = copied_override(f'hydra.searchpath=["file://{own}", pkg://some_package.conf]', tmp_path / "sweep")
    copy = tmp_path / "sweep" / "conf" / "searchpath_0"
    assert (copy / "experiment" / "mine.yaml").is_file()
    assert str(copy) in word
    assert "pkg://some_package.conf" in word
    assert str(own) not in word
    assert copied_override("seed=1", tmp_path) == "seed=1"


def test_copy_configs_of_reports_a_folder_that_cannot_be_written(own: Path, tmp_path: Path) -> None:
    (tmp_path / "sweep").write_text("a file in the way")
    with pytest.raises(ConfigError, match="choose another folder"):
        copy_configs_of(Source(folder=str(own)), tmp_path / "sweep")
