"""The versions of packages in a manifest."""

import importlib.metadata
from pathlib import Path

import pytest

from pamiq_exp.run_folder import package_versions


def test_manifest_has_the_version_of_every_installed_package() -> None:
    expected: dict[str, str] = {}
    for each in importlib.metadata.distributions():
        expected.setdefault(each.metadata["Name"].lower().replace("_", "-"), each.version)
    assert package_versions() == dict(sorted(expected.items()))


def test_package_versions_ignores_the_description_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "one-1.dist-info": "Metadata-Version: 2.1\r\nName: One_Part\r\nVersion: 1.0\r\n\r\nVersion: 9\n",
        "two-2.dist-info": "Metadata-Version: 2.1\nName: two\nVersion: 2.0\nDescription: a\n        Version: 8\n",
        "broken-3.dist-info": "Metadata-Version: 2.1\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "METADATA").write_bytes(text.encode())
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert package_versions() == {"one-part": "1.0", "two": "2.0"}
