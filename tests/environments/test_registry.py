"""Environments of other packages are one override away, and only packages that the user trusts are imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from pamiq_exp.cli import main
from pamiq_exp.config import AllowList
from pamiq_exp.environments import GymnasiumEnvironment
from pamiq_exp.trust import module_of, trusting
from tests.end_to_end.worlds import need_miniworld
from tests.environments.suites import SUITES, Suite, try_one

SUITE = """
import gymnasium

gymnasium.register("{name}-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
"""


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two packages that register an environment each, in a folder of the path."""
    for name in ("grid_suite", "drive_suite"):
        (tmp_path / f"{name}.py").write_text(SUITE.format(name=name.title().replace("_", "")), encoding="utf-8")
    (tmp_path / "no_ids.py").write_text("class Room: pass", encoding="utf-8")
    (tmp_path / "broken.py").write_text("raise RuntimeError('no engine')", encoding="utf-8")
    (tmp_path / "needy.py").write_text("import a_package_that_is_missing", encoding="utf-8")
    metadata = tmp_path / "drive_suite-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: drive-suite-for-gymnasium\nVersion: 1.0\nRequires-Dist: gymnasium>=1.0\n",
        encoding="utf-8",
    )
    (metadata / "top_level.txt").write_text("drive_suite\n", encoding="utf-8")
    (metadata / "RECORD").write_text("drive_suite.py,,\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("GridSuite-v0", "DriveSuite-v0"):
        gymnasium.registry.pop(name, None)
    for name in ("grid_suite", "drive_suite", "no_ids", "broken", "needy"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("environment_id", "trusted"),
    [
        ("drive_suite:DriveSuite-v0", ["drive_suite"]),
        ("DriveSuite-v0", ["drive_suite"]),
        ("drive-suite-for-gymnasium:DriveSuite-v0", ["drive_suite"]),
    ],
)
def test_gymnasium_environment_imports_only_the_trusted_package(
    suites: Path, environment_id: str, trusted: list[str]
) -> None:
    with trusting(trusted):
        environment = GymnasiumEnvironment(environment_id)
    assert environment.observe().values["vector"].shape == (1, 4)
    assert "drive_suite" in sys.modules
    assert "grid_suite" not in sys.modules


def test_gymnasium_environment_imports_trusted_packages_until_one_has_the_id(suites: Path) -> None:
    with trusting(["no_ids", "grid_suite", "drive_suite"]):
        GymnasiumEnvironment("GridSuite-v0")
    assert "drive_suite" not in sys.modules


@pytest.mark.parametrize(
    ("environment_id", "trusted", "message"),
    [
        ("drive_suite:DriveSuite-v0", [], "--allow drive_suite"),
        ("drive_suite:DriveSuite-v0", ["grid_suite"], "--allow drive_suite"),
        ("DriveSuite-v0", [], "environment.id=PACKAGE:|environment.id=drive_suite:DriveSuite-v0 --allow drive_suite"),
        ("DriveSuite-v0", ["grid_suite"], "grid_suite did not register it"),
        ("drive_suite:DriveSuit-v0", ["drive_suite"], "no environment 'DriveSuit-v0'. It has 1, such as DriveSuite-v0"),
        ("no_ids:Room-v0", ["no_ids"], r"environment\.make=\{_target_: no_ids\.CLASS"),
        ("absent_suite:X-v0", ["absent_suite"], "there is no package absent_suite"),
        ("broken:X-v0", ["broken"], "broken cannot be imported: RuntimeError: no engine"),
        ("needy:X-v0", ["needy"], "needy needs one that is missing: .*a_package_that_is_missing"),
        ("os:X-v0", ["os"], "one of Python's own modules"),
    ],
)
def test_gymnasium_environment_import_errors_say_what_to_type(
    suites: Path, environment_id: str, trusted: list[str], message: str
) -> None:
    with trusting(trusted), pytest.raises(ValueError, match=message):
        GymnasiumEnvironment(environment_id)
    assert "drive_suite" not in sys.modules or "drive_suite" in trusted


def test_gymnasium_environment_accepts_known_packages_before_the_colon() -> None:
    assert GymnasiumEnvironment("gymnasium:CartPole-v1").observe().values["vector"].shape == (1, 4)
    pytest.importorskip("minigrid", reason="needs minigrid: extra worlds")
    assert GymnasiumEnvironment("minigrid:MiniGrid-Empty-5x5-v0").name == "minigrid:MiniGrid-Empty-5x5-v0"


def test_module_of_accepts_the_installed_name_of_a_package(suites: Path) -> None:
    assert module_of("drive-suite-for-gymnasium") == "drive_suite"
    assert module_of("drive_suite") == "drive_suite"
    assert module_of("not-installed") == "not_installed"
    assert AllowList.of_user(["drive-suite-for-gymnasium", "no_ids"]).trusted[:2] == ("drive_suite", "no_ids")


RUN = [
    "experiment=minimum",
    "environment=gymnasium",
    "launcher.max_steps=8",
    "launcher=lockstep",
    "tracking=jsonl_only",
]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["environment.id=drive_suite:DriveSuite-v0", "--allow", "drive_suite"], 0),
        (["--allow", "drive-suite-for-gymnasium", "environment.id=DriveSuite-v0"], 0),
        (["environment.id=drive_suite:DriveSuite-v0"], 2),
        (["environment.id=DriveSuite-v0", "--allow", "grid_suite"], 2),
    ],
)
def test_main_imports_only_allowed_packages(
    suites: Path, words: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, *words, f"hydra.run.dir={suites}/run"]) == status
    assert ("drive_suite" in sys.modules) is (status == 0)
    if status:
        assert "--allow drive_suite" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES, ids=[suite.package for suite in SUITES])
def test_suites_that_are_installed_run(suite: Suite) -> None:
    """`python -m tests.environments.suites FOLDER` installs them all."""
    if suite.package == "miniworld":  # its import opens a window, unless our adapter was first
        need_miniworld()
    pytest.importorskip(suite.module or suite.package.replace("-", "_"), reason=f"needs {suite.package}")
    for environment_id in suite.ids:
        if suite.refused:
            with pytest.raises(ValueError, match=suite.refused):
                try_one(suite, environment_id)
        else:
            try_one(suite, environment_id)
