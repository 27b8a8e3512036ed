"""What to type when a package is missing."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from pamiq_exp import extras
from tests.conftest import REPOSITORY


def test_every_extra_that_a_message_names_exists() -> None:
    offered = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.EXTRA_OF_MODULE.values()) <= set(offered)


def test_an_installation_is_told_by_its_name_and_a_clone_that_is_none_by_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda name: None)
    assert extras.install_hint("pygame") == "pip install 'pamiq_exp[play]'"

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    folder = extras.install_hint("vizdoom.gymnasium_wrapper").removeprefix("pip install '").removesuffix("[worlds]'")
    assert (Path(folder) / "pyproject.toml").is_file()


def test_a_module_without_an_extra_is_named() -> None:
    assert extras.install_hint("highway_env.envs") == "pip install the package that holds highway_env"


def test_every_message_about_an_extra_is_made_in_one_place() -> None:
    """A sentence that is written out would be wrong for a clone or for a wheel."""
    files = [path for path in (REPOSITORY / "pamiq_exp").rglob("*.py") if path.name != "extras.py"]
    assert not [str(path) for path in files if "pip install 'pamiq_exp" in path.read_text()]
