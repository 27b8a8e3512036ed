"""A config composed again from what its run has kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pamiq_exp.config import (
    Composition,
    ConfigError,
    Source,
    compose,
    compose_again,
    record_composition,
)
from tests.cases import error_of
from tests.conftest import experiment_names

MINE = """\
# @package _global_
defaults:
  - /experiment/cartpole_ppo
  - _self_
experiment_name: mine
seed: 1
"""


@pytest.fixture
def own(tmp_path: Path) -> Source:
    folder = tmp_path / "own"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment" / "mine.yaml").write_text(MINE)
    return Source(folder=str(folder))


def kept(composition: Composition, tmp_path: Path) -> Composition:
    """Return a composition that was written to the file of a run folder and read again."""
    path = tmp_path / "composition.yaml"
    path.write_text(yaml.safe_dump(composition.to_plain()))
    read = Composition.read(path)
    assert read is not None
    return read


def test_record_composition_keeps_only_the_files_used(own: Source) -> None:
    composition = record_composition(compose(["experiment=mine", "seed=3", "hydra.verbose=true"], own))
    assert composition.overrides == ("experiment=mine", "seed=3")
    assert composition.files["experiment/mine"] == MINE
    assert {"config", "experiment/cartpole_ppo", "agent/ppo", "_parents/ppo", "launcher/lockstep"} <= (
        composition.files.keys()
    )
    assert not {name for name in composition.files if name.startswith(("world/", "hydra/"))}


def test_compose_again_works_without_the_original_files(own: Source, tmp_path: Path) -> None:
    before = compose(["experiment=mine", "seed=3"], own)
    composition = kept(record_composition(before), tmp_path)
    (tmp_path / "own" / "experiment" / "mine.yaml").unlink()
    again = compose_again(composition)
    assert again.tree == before.tree
    assert record_composition(again) == composition


def test_compose_again_ignores_later_edits_of_a_file(own: Source, tmp_path: Path) -> None:
    composition = record_composition(compose(["experiment=mine"], own))
    (tmp_path / "own" / "experiment" / "mine.yaml").write_text(MINE.replace("seed: 1", "seed: 2"))
    assert compose_again(composition, source=own).tree["seed"] == 1


def test_compose_again_applies_new_values_and_groups(own: Source) -> None:
    composition = record_composition(compose(["experiment=mine"], own))
    again = compose_again(composition, ["launcher=realtime", "agent=random", "launcher.max_steps=7"])
    assert again.tree["interaction"]["agent"]["_target_"] == "pamiq_exp.agents.RandomAgent"
    assert (again.tree["launcher"]["mode"], again.tree["launcher"]["max_steps"]) == ("realtime", 7)
    recorded = record_composition(again)
    assert "agent/random" in recorded.files
    assert compose_again(recorded).tree == again.tree


@pytest.mark.parametrize(
    "word", ["hydra.callbacks.x._target_=os.system", "hydra/launcher=basic", "hydra.searchpath=[]"]
)
def test_compose_again_refuses_overrides_of_hydra(own: Source, word: str) -> None:
    composition = record_composition(compose(["experiment=mine"], own))
    with pytest.raises(ConfigError, match="cannot be set for a run that has begun"):
        compose_again(composition, [word])
    hostile = Composition(composition.name, (*composition.overrides, word), composition.files)
    with pytest.raises(ConfigError, match="cannot be set for a run that has begun"):
        compose_again(hostile)


def test_compose_again_takes_no_hydra_settings_from_files(own: Source) -> None:
    composition = record_composition(compose(["experiment=mine"], own))
    callback = "\nhydra:\n  callbacks:\n    x: {_target_: os.system}\n"
    in_experiment = {**composition.files, "experiment/mine": MINE + callback}
    with pytest.raises(ConfigError, match=r"hydra\.callbacks"):
        compose_again(Composition("config", composition.overrides, in_experiment))
    in_primary = composition.files["config"].replace("hydra:\n", "hydra:\n  callbacks: {x: {_target_: os.system}}\n", 1)
    assert in_primary != composition.files["config"]
    again = compose_again(Composition("config", composition.overrides, {**composition.files, "config": in_primary}))
    assert not again.config.hydra.callbacks


def test_composition_read_refuses_an_invalid_file(tmp_path: Path) -> None:
    contents = [
        "just text",
        "{name: config, overrides: [], files: {}}",
        "{name: config, overrides: [1], files: {config: ''}}",
        "{name: config, overrides: [], files: {config: '', ../../evil: ''}}",
        "{name: config, overrides: [], files: {config: '', /etc/evil: ''}}",
        "{name: config, overrides: [], files: {config: '', a/.hidden: ''}}",
        "{name: config, overrides: [], files: {config: ''}, more: 1}",
    ]
    path = tmp_path / "composition.yaml"

    def reading_error(content: str) -> str:
        path.write_text(content)
        return error_of(ConfigError, lambda: Composition.read(path))

    assert [content for content in contents if "is not what a run keeps" not in reading_error(content)] == []


def test_composition_read_returns_none_without_a_file(tmp_path: Path) -> None:
    assert Composition.read(tmp_path / "composition.yaml") is None


@pytest.mark.parametrize("name", experiment_names())
def test_compose_again_reproduces_every_shipped_experiment(name: str) -> None:
    words = [f"experiment={name}"]
    again = compose_again(record_composition(compose(words)), ["seed=3"])
    assert again.tree == compose([*words, "seed=3"]).tree
    assert {file.origin.kind for file in again.files} == {"shipped"}
