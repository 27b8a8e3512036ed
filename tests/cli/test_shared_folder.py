"""`export --hub`: a folder that another person reads, runs and evaluates, and malicious folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import pamiq_exp.cli
from pamiq_exp.runtime.tensor_file import read_tensors
from tests.cli.test_evaluate import evaluation, run_small
from tests.conftest import Command


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two runs that differ in their seed."""
    place = tmp_path_factory.mktemp("shared")
    for seed in (0, 1):
        run_small(place / "runs" / str(seed), f"seed={seed}")
    assert pamiq_exp.cli.main(["export", str(place / "runs"), "--hub", str(place / "hub")]) == 0
    return place


@pytest.fixture
def hub(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported / "hub", tmp_path / "hub"))


def test_shared_folder_holds_card_figure_experiment_models_and_license(hub: Path, exported: Path) -> None:
    names = {path.relative_to(hub).as_posix() for path in hub.rglob("*") if path.is_file()}
    model = ("manifest.json", "models.safetensors", "state.json")
    assert names == {"README.md", "LICENSE", "paper.yaml", "results.pdf", "results.png", "results.svg"} | {
        f"models/{number}/step_000000040/{name}" for number in (0, 1) for name in model
    }
    card = (hub / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front == {"license": "mit", "library_name": "pamiq_exp", "tags": ["reinforcement-learning"]}
    summaries = [json.loads((exported / "runs" / str(seed) / "summary.json").read_text()) for seed in (0, 1)]
    assert "2 runs with seeds 0, 1, 2 environments each" in card
    assert "return_mean" in card
    assert "steps_per_second" not in card
    assert f"{sum(each['steps'] for each in summaries)} environment steps" in card
    assert "](results.png)" in card
    assert "python -m pamiq_exp reproduce ." in card
    assert "python -m pamiq_exp evaluate ." in card
    assert str(exported) not in card
    assert "the authors of cartpole_ppo" in (hub / "LICENSE").read_text()


def test_shared_folder_holds_the_models_of_the_newest_checkpoint(hub: Path, exported: Path) -> None:
    for number in (0, 1):
        shared = read_tensors(hub / "models" / str(number) / "step_000000040" / "models.safetensors")
        kept = read_tensors(exported / "runs" / str(number) / "checkpoints" / "step_000000040" / "models.safetensors")
        assert shared.keys() == kept.keys()
        assert all(shared[name].equal(kept[name]) for name in kept)


@pytest.mark.parametrize(("words", "seed"), [(("--run", "1"), 1), pytest.param((), 0, marks=pytest.mark.slow)])
def test_evaluate_of_a_shared_folder_gives_the_same_result_as_its_run(
    command: Command, hub: Path, exported: Path, words: tuple[str, ...], seed: int
) -> None:
    assert command("evaluate", "hub", "--episodes", "2", "--seeds", "7", *words).status == 0
    run = exported / "runs" / str(seed)
    assert command("evaluate", str(run), "--episodes", "2", "--seeds", "7").status == 0
    found, expected = evaluation(hub), evaluation(run)
    assert found["run_seed"] == seed
    assert {**found, "evaluated": 0} == {**expected, "evaluated": 0}


def test_reproduce_of_a_shared_folder_gives_the_same_metrics(command: Command, hub: Path) -> None:
    outcome = command("reproduce", "hub", "--run", "1", "--no-dry-run")
    assert outcome.status == 0, outcome.err
    assert "metrics are the same" in outcome.out


REFUSED = {
    ("evaluate", "--run", "2"): "there are no models of run 2",
    ("evaluate", "--checkpoint", "best"): "holds one checkpoint of each run",
    ("evaluate", "environment.id=Acrobot-v1"): "environment.id: is Acrobot-v1, and CartPole-v1 in the run",
    ("reproduce", "--run", "2"): "there are 0 to 1",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_evaluate_and_reproduce_refuse_what_a_shared_folder_does_not_hold(
    command: Command, hub: Path, words: tuple[str, ...]
) -> None:
    outcome = command(words[0], "hub", *words[1:])
    assert outcome.status == 2
    assert REFUSED[words] in outcome.err


def _edit(hub: Path, **config: Any) -> None:
    paper = yaml.safe_load((hub / "paper.yaml").read_text())
    paper["config"] |= config
    (hub / "paper.yaml").write_text(yaml.safe_dump(paper))


def _name_a_class(hub: Path) -> None:
    _edit(hub, metrics={"x": {"_target_": "os.system", "command": "touch taken"}})


def _read_the_environment(hub: Path) -> None:
    _edit(hub, shared={"x": "${oc.env:HOME}"})


def _link_the_file(hub: Path) -> None:
    shutil.move(hub / "paper.yaml", hub.parent / "elsewhere.yaml")
    (hub / "paper.yaml").symlink_to(hub.parent / "elsewhere.yaml")


def _link_the_models(hub: Path) -> None:
    shutil.move(hub / "models", hub.parent / "elsewhere")
    (hub / "models").symlink_to(hub.parent / "elsewhere")


def _link_a_tensor_file(hub: Path) -> None:
    file = hub / "models" / "0" / "step_000000040" / "models.safetensors"
    shutil.move(file, hub.parent / "elsewhere")
    file.symlink_to(hub.parent / "elsewhere")


def _damage_a_tensor_file(hub: Path) -> None:
    file = hub / "models" / "0" / "step_000000040" / "models.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def _name_a_file_outside_of_the_checkpoint(hub: Path) -> None:
    path = hub / "models" / "0" / "step_000000040" / "manifest.json"
    path.write_text(path.read_text().replace('"models.safetensors"', '"../../../paper.yaml"'))


def _pipe_for_the_file(hub: Path) -> None:
    import os

    (hub / "paper.yaml").unlink()
    os.mkfifo(hub / "paper.yaml")


DAMAGES = {
    _name_a_class: "os.system",
    _read_the_environment: "shared",
    _link_the_file: "link",
    _link_the_models: "link",
    _link_a_tensor_file: "link",
    _damage_a_tensor_file: "damaged",
    _name_a_file_outside_of_the_checkpoint: "checksum differs",
    _pipe_for_the_file: "paper.yaml",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_evaluate_refuses_a_damaged_or_malicious_shared_folder(command: Command, hub: Path, damage: Any) -> None:
    damage(hub)
    outcome = command("evaluate", "hub", "--episodes", "1")
    assert outcome.status == 2
    assert DAMAGES[damage] in outcome.err
    assert not (hub / "evaluation.json").exists()
    assert not (hub.parent / "taken").exists()


def test_export_hub_leaves_a_non_empty_folder_unchanged(command: Command, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "notes.txt").write_text("mine")
    outcome = command("export", str(exported / "runs"), "--hub", "hub")
    assert outcome.status == 2
    assert "hub is not empty" in outcome.err
    assert [path.name for path in (tmp_path / "hub").iterdir()] == ["notes.txt"]


def test_export_hub_uses_the_given_license_and_works_without_a_checkpoint(
    command: Command, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("My license")
    shutil.copytree(exported / "runs" / "0", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    outcome = command("export", "run", "--hub", "hub", "--license", "mine.txt")
    assert outcome.status == 0
    assert "no models of run 0: run has no checkpoint" in outcome.err
    assert (tmp_path / "hub" / "LICENSE").read_text() == "My license"
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "license: other" in card
    assert "evaluate" not in card
    refused = command("evaluate", "hub")
    assert refused.status == 2
    assert "there are no models of run 0" in refused.err
