"""Hints on how to install a missing package."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pamiq_exp import extras
from tests.conftest import REPOSITORY


def test_extras_of_all_modules_are_declared_in_pyproject() -> None:
    offered = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.EXTRA_OF_MODULE.values()) <= set(offered)


def test_extras_install_hint_names_the_package_or_the_folder_of_a_clone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: None)
    assert extras.install_hint("pygame") == "pip install 'pamiq_exp[play]'"

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    folder = extras.install_hint("vizdoom.gymnasium_wrapper").removeprefix("pip install '").removesuffix("[worlds]'")
    assert (Path(folder) / "pyproject.toml").is_file()


def test_extras_install_hint_names_a_module_without_an_extra() -> None:
    assert extras.install_hint("highway_env.envs") == "pip install the package that holds highway_env"


def test_extras_install_commands_are_written_in_one_module() -> None:
    """A command that is written out elsewhere would be wrong for a clone or for a wheel."""
    files = [path for path in (REPOSITORY / "pamiq_exp").rglob("*.py") if path.name != "extras.py"]
    assert not [str(path) for path in files if "pip install 'pamiq_exp" in path.read_text()]
