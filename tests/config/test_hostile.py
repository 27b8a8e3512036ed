"""Malicious configs: each is refused with name, file and line, and has no effect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pamiq_exp.config import (
    AllowList,
    Composition,
    ConfigError,
    Source,
    build_experiment,
    compose_again,
    compose_config,
    config_folder,
    validate,
)
from tests.config.hostile import HYDRA, SECRET, SECRET_NAME, Hostile, corpus
from tests.conftest import Command, Outcome

CORPUS = corpus()
FILE = "experiment/hostile.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a user, with a secret in the environment and a link that leads out."""
    here = tmp_path / "here"
    (here / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (here / "link").symlink_to(tmp_path / "outside")
    monkeypatch.setenv(SECRET_NAME, SECRET)
    return here


def send(hostile: Hostile, folder: Path) -> None:
    text = hostile.text.replace("{marker}", "marker").replace("{outside}", str(folder.parent / "outside"))
    (folder / "conf" / FILE).write_text(text)


def run(command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Outcome:
    monkeypatch.chdir(folder)
    outcome = command(*words, "experiment=hostile", "--config-dir", "conf")
    assert os.environ[SECRET_NAME] == SECRET
    assert not {"WANDB_BASE_URL", "HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE"} & set(os.environ)
    return outcome


def assert_harmless(outcome: Outcome, folder: Path) -> None:
    files = {str(path.relative_to(folder.parent)) for path in folder.parent.rglob("*") if "outputs" not in path.parts}
    assert files == {"here", "here/conf", "here/conf/experiment", f"here/conf/{FILE}", "here/link", "outside"}
    assert SECRET not in outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    assert "\x1b[2J" not in outcome.err


@pytest.mark.parametrize("name", CORPUS)
def test_check_refuses_a_hostile_config(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    send(CORPUS[name], folder)
    outcome = run(command, folder, monkeypatch, "check")
    assert outcome.status == 1, outcome.out
    assert CORPUS[name].expected in outcome.err
    assert "hostile.yaml" in outcome.err or name.startswith(("hydra", "yaml"))
    assert_harmless(outcome, folder)


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["-m"], ["-m", "seed=0,1"], ["--cfg", "job"]], ids=" ".join)
@pytest.mark.parametrize("name", CORPUS)
def test_run_multirun_and_cfg_refuse_a_hostile_config(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: list[str]
) -> None:
    if "--cfg" in words and not name.startswith(("hydra", "yaml")):
        pytest.skip("printing a config does nothing with it")
    send(CORPUS[name], folder)
    outcome = run(command, folder, monkeypatch, *words)
    assert outcome.status == 2, outcome.out
    assert CORPUS[name].expected in outcome.err
    assert_harmless(outcome, folder)


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith(("hydra", "leak"))][::3])
def test_run_refuses_a_hostile_config(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    send(CORPUS[name], folder)
    outcome = run(command, folder, monkeypatch)
    assert outcome.status == 2
    assert CORPUS[name].expected in outcome.err
    assert_harmless(outcome, folder)


@pytest.mark.parametrize("key", list(HYDRA)[::4])
def test_check_refuses_hydra_settings_in_files_of_other_groups(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    (folder / "conf" / FILE).write_text("# @package _global_\ndefaults: [minimum, /shared: evil, _self_]\n")
    (folder / "conf" / "shared").mkdir()
    evil = folder / "conf" / "shared" / "evil.yaml"
    evil.write_text(f"# @package hydra\n{HYDRA[key].replace('{marker}', 'marker')}\n")
    outcome = run(command, folder, monkeypatch, "check")
    assert outcome.status == 1
    assert f"{key}: may not be set by a config file" in outcome.err
    evil.unlink()
    evil.parent.rmdir()
    assert_harmless(outcome, folder)


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith(("call", "hidden"))][::6])
def test_build_experiment_refuses_a_hostile_config(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(folder)
    send(CORPUS[name], folder)
    with pytest.raises(ConfigError):
        build_experiment(compose_config(["experiment=hostile"], Source(folder="conf")))
    assert not (folder / "marker").exists()


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith(("hydra", "yaml"))][::3])
def test_compose_again_and_validate_refuse_a_hostile_config(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(folder)
    send(CORPUS[name], folder)
    shipped = {path: (config_folder() / f"{path}.yaml").read_text() for path in ("config", "experiment/minimum")}
    kept = shipped | {"experiment/hostile": (folder / "conf" / FILE).read_text()}
    with pytest.raises(ConfigError):
        validate(compose_again(Composition("config", ("experiment=hostile",), kept)), AllowList(), dry_run=False)
    assert not (folder / "marker").exists()
