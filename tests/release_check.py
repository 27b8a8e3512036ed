"""`make release-check`: both distributions, each installed into an empty environment, where an experiment runs.

`python -m tests.release_check [--keep FOLDER]` prints one line for each check and ends with status 1 if one failed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import version
from pathlib import Path

import yaml
from trove_classifiers import classifiers as known_classifiers

from tests.conftest import REPOSITORY

LICENSES = re.compile(
    r"\b(MIT|BSD|Apache|ISC|MPL|Mozilla|PSF|Python Software Foundation|HPND|Zlib|zlib|0BSD|Unlicense|CC0|"
    r"Boost|BSL|NCSA|MIT-CMU|Historical Permission Notice)\b",
    re.IGNORECASE,
)
"""Licenses that a package under the MIT license may depend on without conditions on its own code."""

READ_ELSEWHERE: Mapping[str, str] = {}
"""Distributions whose metadata name no license, with the one that their sources name."""

LIST_LICENSES = """
import json
from importlib.metadata import distributions

found = {}
for each in distributions():
    data = each.metadata
    texts = [data.get("License-Expression") or "", *(data.get_all("Classifier") or []), data.get("License") or ""]
    found[data["Name"]] = [text.removeprefix("License :: ")[:200] for text in texts if "icense" in text or text]
print(json.dumps(found))
"""

INSTALLED = ("experiment=minimum", "launcher.max_steps=200", "tracking=jsonl_only")


def main(words: Sequence[str] | None = None) -> int:
    """Check both distributions. Returns 0, or 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.release_check", description=__doc__)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the distributions and environments there")
    keep = parser.parse_args(words).keep
    errors: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(keep or temporary).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        for distribution in build(folder / "dist"):
            print(f"built {distribution.name}", flush=True)
            errors += metadata_errors(read_metadata(distribution))
            errors += try_installed(distribution, folder / distribution.suffix.removeprefix("."))
    errors += version_errors(REPOSITORY)
    for error in errors:
        print(f"error: {error}")
    print(f"release check: {len(errors)} errors")
    return 1 if errors else 0


def build(folder: Path) -> list[Path]:
    """Build the source distribution, and the wheel from it."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    return [*folder.glob("*.tar.gz"), *folder.glob("*.whl")]


def read_metadata(distribution: Path) -> Message:
    """Return the metadata of a distribution."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as wheel:
            (name,) = [each for each in wheel.namelist() if each.endswith(".dist-info/METADATA")]
            return BytesParser().parsebytes(wheel.read(name))
    with tarfile.open(distribution) as source:
        (member,) = [each for each in source.getmembers() if re.fullmatch(r"[^/]+/PKG-INFO", each.name)]
        file = source.extractfile(member)
        assert file is not None
        return BytesParser().parsebytes(file.read())


def metadata_errors(metadata: Message) -> list[str]:
    """Return what is wrong with the metadata of a distribution."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    given, needed = set(metadata.get_all("Classifier") or []), metadata.get_all("Requires-Dist") or []
    checks = {
        "the name is not that of the project": metadata["Name"] == project["name"],
        "the version is not that of the package": metadata["Version"] == package_version(REPOSITORY),
        "the license expression is missing": metadata["License-Expression"] == project["license"],
        "the license file is missing": metadata.get_all("License-File") == ["LICENSE"],
        "the Python versions are missing": metadata["Requires-Python"] == project["requires-python"],
        "the description is not the README": str(metadata.get_payload()).startswith("# pamiq_exp"),
        "a classifier does not exist": given <= set(known_classifiers),
        "a dependency is named by an address": not [each for each in needed if "@" in each],
    }
    return [message for message, holds in checks.items() if not holds]


def package_version(repository: Path) -> str:
    """Return the version in the sources."""
    found = re.search(r'"(\d+\.\d+\.\d+\S*)"', (repository / "pamiq_exp" / "_version.py").read_text())
    assert found is not None
    return found[1]


def version_errors(repository: Path) -> list[str]:
    """Return the files whose version is not that of the sources."""
    expected = package_version(repository)
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())["version"]
    newest = re.search(r"^## (\S+)", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    found = {"CITATION.cff": citation, "CHANGELOG.md": newest[1] if newest else "none"}
    return [f"{name} names version {each}, not {expected}" for name, each in found.items() if each != expected]


def try_installed(distribution: Path, folder: Path) -> list[str]:
    """Install a distribution into an empty environment, run an experiment and a new project there."""
    environment, work = folder / "environment", folder / "work"
    work.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python]
    constraints = ["--constraint", str(REPOSITORY / "constraints.txt")]
    steps = {
        "install": [*pip, "install", "--quiet", *constraints, str(distribution)],
        "pip check": [*pip, "check"],
        "run": [python, "-m", "pamiq_exp", *INSTALLED],
        "resume": [python, "-m", "pamiq_exp", "resume", "outputs/minimum", "launcher.max_steps=300"],
        "new": [python, "-m", "pamiq_exp", "new", "ring_study"],
        "list": [python, "-m", "pamiq_exp", "list", "rewards"],
    }
    for name, command in steps.items():
        command = [str(newest(work / word)) if word == "outputs/minimum" else word for word in command]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        print(f"  {name}: {'ok' if result.returncode == 0 else 'failed'}", flush=True)
        if result.returncode != 0:
            return [f"{distribution.name}: {name} failed:\n{result.stdout}\n{result.stderr}"]
    run = [python, "-m", "pamiq_exp", "--config-dir", "conf", "--allow", "ring_study", "experiment=ring"]
    result = subprocess.run(
        [*run, "launcher.max_steps=300"], cwd=work / "ring_study", capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        return [f"{distribution.name}: a new project does not run:\n{result.stdout}\n{result.stderr}"]
    listed = subprocess.run([python, "-c", LIST_LICENSES], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(listed.stdout)
    print(f"  licenses of {len(found)} distributions, with torch {version('torch')}", flush=True)
    return license_errors(found)


def newest(folder: Path) -> Path:
    """Return the newest folder below one."""
    return max(folder.iterdir(), key=lambda path: path.stat().st_mtime)


def license_errors(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the distributions whose license is not known to be permissive."""
    return [
        f"{name} has a license that is not known to be permissive: {'; '.join(texts) or 'none is named'}"
        for name, texts in sorted(found.items())
        if not LICENSES.search(" ".join([*texts, READ_ELSEWHERE.get(name, "")]))
    ]


if __name__ == "__main__":
    sys.exit(main())
