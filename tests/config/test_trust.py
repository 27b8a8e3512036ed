"""Config folders that the user trusts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.config import AllowList, ConfigError, Source, compose, examine
from pamiq_exp.config.trust import is_trusted, trust_folder, trusted_folders, trusted_folders_file
from tests.conftest import Command

EXPERIMENT = "# @package _global_\ndefaults: [minimum, _self_]\nexperiment_name: lab\npaths: {outputs: OUT}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A config folder that names a place outside of the current folder."""
    folder = tmp_path / "lab" / "conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "lab.yaml").write_text(EXPERIMENT.replace("OUT", str(tmp_path / "data")))
    return folder


def reported(lab: Path) -> str:
    found = examine(compose(["experiment=lab"], Source(folder=str(lab))), AllowList(), dry_run=False)
    return "\n".join(map(str, found.errors))


def test_trusted_folder_may_name_paths_outside_the_current_folder(lab: Path, tmp_path: Path, command: Command) -> None:
    assert "paths.outputs: a config file may not name a place outside" in reported(lab)
    assert "--trust DIR" in reported(lab)
    outcome = command("check", "experiment=lab", "--config-dir", str(lab), "--trust", str(lab.parent))
    assert outcome.status == 0, outcome.err
    assert "is now trusted" in outcome.err
    assert command("check", "experiment=lab", "--config-dir", str(lab)).status == 0
    assert trusted_folders() == [lab.parent]
    assert trusted_folders_file() == tmp_path / "home" / "pamiq_exp" / "trusted_folders"
    assert [path.name for path in lab.rglob("*") if path.is_file()] == ["lab.yaml"], (
        "trust is stored in the folder itself"
    )


def test_trust_is_not_taken_from_the_folder_itself(lab: Path) -> None:
    for name in ("trusted_folders", ".pamiq_exp", "pamiq_exp/trusted_folders"):
        (lab / name).parent.mkdir(exist_ok=True)
        (lab / name).write_text(f"{lab}\n")
    assert "may not name a place" in reported(lab)


def test_is_trusted_refuses_a_link_out_of_a_trusted_folder(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "conf").symlink_to(lab)
    trust_folder(str(tmp_path / "mine"))
    assert not is_trusted(tmp_path / "mine" / "conf" / "experiment" / "lab.yaml")
    assert not is_trusted(tmp_path / "mine_too" / "x.yaml")


def test_trusted_folder_may_not_change_hydra_settings(lab: Path) -> None:
    trust_folder(str(lab))
    file = lab / "experiment" / "lab.yaml"
    file.write_text(file.read_text() + "hydra: {run: {dir: /tmp/x}}\n")
    with pytest.raises(ConfigError, match="may not be set by a config file"):
        reported(lab)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_trust_folder_refuses_a_missing_folder(folder: str) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        trust_folder(folder)
    assert trusted_folders() == []


def test_check_origins_option_prints_the_source_of_each_key(lab: Path, command: Command) -> None:
    outcome = command("check", "--origins", "experiment=lab", "--config-dir", str(lab), "seed=3")
    assert "command line: seed=3" in outcome.out
    assert "lab.yaml:4 (own)" in outcome.out
    assert "realtime.yaml:" in outcome.out
    assert "(shipped)" in outcome.out
    trust_folder(str(lab))
    assert "lab.yaml:4 (trusted)" in command("check", "--origins", "experiment=lab", "--config-dir", str(lab)).out
