"""The package as a user gets it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper

from tests import release_check

REPOSITORY = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return {normalized(line.split("==")[0]): line for line in lines if line and not line.startswith("#")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was installed, without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return target


def test_packaging_installed_wheel_runs_an_experiment_from_its_own_configs(installed: Path, tmp_path: Path) -> None:
    words = ["-m", "pamiq_exp", "experiment=minimum", "launcher.max_steps=100", "tracking=jsonl_only"]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    result = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "minimum: finished after 100 steps" in result.stdout
    assert len(list((tmp_path / "outputs" / "minimum").rglob("summary.json"))) == 1
    shown = subprocess.run(
        [sys.executable, "-m", "pamiq_exp", "--info", "searchpath"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(installed / "pamiq_exp" / "conf") in shown.stdout
    assert str(REPOSITORY) not in shown.stdout


def test_packaging_wheel_holds_every_config_and_py_typed(installed: Path) -> None:
    package = installed / "pamiq_exp"
    assert (package / "py.typed").exists()
    shipped = {path.relative_to(REPOSITORY / "conf") for path in (REPOSITORY / "conf").rglob("*.yaml")}
    assert {path.relative_to(package / "conf") for path in (package / "conf").rglob("*.yaml")} == shipped


SET_UP = ("dashboard", "dev", "jax", "tensorboard", "video", "vrchat", "worlds")


def test_packaging_pins_exactly_what_setup_installs() -> None:
    assert f"'.[{','.join(SET_UP)}]'" in (REPOSITORY / "Makefile").read_text()
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(each for name in SET_UP for each in extras[name])]
    names = {normalized(re.split(r"[<>=!~\[; ]", requirement)[0]) for requirement in wanted}
    assert names <= set(pins()), f"pin {names - set(pins())} in constraints.txt"
    assert pins()["torch"] == "torch==2.13.0"
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!+]+", line) for line in pins().values())


def test_packaging_excludes_releases_with_known_vulnerabilities() -> None:
    """Lightning before 2.6.6 imported code named in checkpoints; torch before 2.8 had an unsafe loader."""
    floors = {re.split(r"[<>=]", line)[0]: line for line in PROJECT["dependencies"]}
    assert floors["lightning"].startswith("lightning>=2.6.6")
    assert floors["torch"].startswith("torch>=2.8")
    assert floors["hydra-core"] == "hydra-core>=1.3.8,<1.4"


def test_packaging_audits_everything_that_is_pinned() -> None:
    """`make audit` fails on known advisories; it needs a network, which the tests do not."""
    makefile = (REPOSITORY / "Makefile").read_text()
    recipe = makefile.split("\naudit:", maxsplit=1)[1].split("\n\n", maxsplit=1)[0]
    assert "pip-audit" in recipe
    assert "--requirement constraints.txt" in recipe
    assert "||" not in recipe
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "audit.yaml").read_text())
    steps = [step.get("run") for job in workflow["jobs"].values() for step in job["steps"]]
    assert "make audit" in steps
    assert {"push", "schedule"} <= set(workflow[True])  # YAML reads the key `on` as true


def test_packaging_ci_runs_only_the_tests() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text()
    commands = [line for line in script.splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


def test_release_check_finds_the_same_version_everywhere() -> None:
    assert release_check.version_errors(REPOSITORY) == []


def test_release_check_reports_licenses_not_known_to_be_permissive() -> None:
    found = {"a": ["MIT"], "b": ["OSI Approved :: GNU General Public License v3"], "c": []}
    assert [line.split()[0] for line in release_check.license_errors(found)] == ["b", "c"]


def test_release_check_accepts_the_metadata_of_the_wheel(installed: Path) -> None:
    (wheel,) = installed.parent.glob("*.whl")
    metadata = release_check.read_metadata(wheel)
    assert release_check.metadata_errors(metadata) == []
    metadata.replace_header("Version", "0.0.1")
    assert release_check.metadata_errors(metadata) == ["the version is not that of the package"]


def test_packaging_container_runs_make_run_without_root_and_keeps_outputs() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for name, rest in steps:
        found.setdefault(name, []).append(rest)
    [program], [words] = found["ENTRYPOINT"], found["CMD"]
    command = " ".join([*json.loads(program), *json.loads(words)])
    assert f"\t$(BIN)/{command}\n" in (REPOSITORY / "Makefile").read_text()
    assert found["USER"] == ["1000:1000"]  # a number: clusters that forbid root cannot look up names
    assert found["VOLUME"] == ["/app/outputs"]
    copied = {word for rest in found["COPY"] for word in rest.split()[:-1]}
    assert all((REPOSITORY / name).exists() for name in copied)
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["only-include"]) <= copied


def test_packaging_entry_points_of_hydra_plugins_exist() -> None:
    """Hydra 1.4 looks for them; earlier versions look into the folder hydra_plugins."""
    named = PROJECT["entry-points"]["hydra.plugins"].values()
    found = [EntryPoint("", value, "hydra.plugins").load() for value in named]
    assert [issubclass(each, base) for each, base in zip(found, (Launcher, Sweeper), strict=True)] == [True, True]
