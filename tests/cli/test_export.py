"""`export RUN` writes a run to one file, and `reproduce FILE` gives the same metrics."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Command, Outcome

CARTPOLE = (
    "experiment=cartpole_ppo",
    "tracking=jsonl_only",
    "launcher.max_steps=600",
    "trainers.policy.epochs=1",
)


def run(command, *words: str) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command(*words)
    assert outcome.status == 0, outcome.err


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its file, made once."""
    import pamiq_exp.cli

    folder = tmp_path_factory.mktemp("finished")
    assert pamiq_exp.cli.main([*CARTPOLE, "seed=3", f"hydra.run.dir={folder / 'one'}"]) == 0
    assert pamiq_exp.cli.main(["export", str(folder / "one"), "-o", str(folder / "paper.yaml")]) == 0
    return folder


@pytest.fixture
def paper(finished: Path, tmp_path: Path) -> Path:
    """The file of one run."""
    return Path(shutil.copy(finished / "paper.yaml", tmp_path))


def test_export_file_holds_config_seeds_budget_versions_and_metrics(paper: Path, finished: Path) -> None:
    exported = read(paper)
    manifest = json.loads((finished / "one" / "manifest.json").read_text())
    summary = json.loads((finished / "one" / "summary.json").read_text())
    assert (exported["experiment_name"], exported["seeds"], exported["num_envs"], exported["mode"]) == (
        "cartpole_ppo",
        [3],
        8,
        "lockstep",
    )
    assert exported["budget"]["environment_steps"] == 600
    assert exported["versions"]["torch"] == manifest["versions"]["torch"]
    assert exported["versions"]["python"] == manifest["machine"]["python"]
    assert exported["code"]["commit"] == manifest["code"]["commit"]
    assert exported["runs"][0]["metrics"]["return_mean"] == summary["return_mean"]
    assert "wall_seconds" not in exported["runs"][0]["metrics"]
    assert exported["config"]["trainers"]["policy"]["seed"] == "${derived_seed:}"
    assert exported["config"]["models"]["policy"]["network"]["action"]["nvec"] == [2]
    assert not {"paths", "tracking", "spaces", "hydra"} & exported["config"].keys()


def test_export_removes_the_users_paths_and_reproduce_asks_for_them(
    command: Command,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home-of-marker-4711"
    monkeypatch.setenv("HOME", str(home))
    folder = Path(shutil.copytree(finished / "one", home / "outputs" / "one"))
    config = read(folder / "config.yaml")
    config["paths"]["outputs"] = str(home / "outputs")
    config["environment"]["kwargs"] = {"pictures": f"{home}/pictures", "more": ["~/elsewhere", f"see {home}"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run(command, "export", str(folder), "-o", "paper.yaml")
    text = (tmp_path / "paper.yaml").read_text()
    assert "4711" not in text
    assert str(tmp_path) not in text
    assert read(tmp_path / "paper.yaml")["config"]["environment"]["kwargs"] == {"pictures": "???", "more": ["???"] * 2}
    refused: Outcome = command("reproduce", "paper.yaml")
    assert refused.status == 2
    assert "environment.kwargs.pictures: needs a value" in refused.err
    given = (f"environment.kwargs.pictures={home}", "environment.kwargs.more=[]")
    assert "may not name" not in command("reproduce", "paper.yaml", *given).err, "it was typed by the user"


def test_reproduce_gives_the_same_metrics_and_models_in_an_empty_folder(
    command: Command,
    paper: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    outcome: Outcome = command("reproduce", str(paper))
    assert outcome.status == 0, outcome.err
    assert "metrics are the same" in outcome.out
    (folder,) = (elsewhere / "outputs" / "cartpole_ppo").iterdir()
    files = [sorted((each / "checkpoints").iterdir())[-1] for each in (finished / "one", folder)]
    models = [json.loads((each / "manifest.json").read_text())["files"]["models.safetensors"] for each in files]
    assert models[0] == models[1]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["reproduces"]["file"] == "paper.yaml"
    assert manifest["seed"] == 3
    run(command, "resume", str(folder), "launcher.max_steps=800")


class Terminal(io.StringIO):
    """A user who types."""

    def isatty(self) -> bool:
        return True


def test_reproduce_describes_the_run_and_asks_before_it_starts(  # type: ignore[no-untyped-def]
    command, paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = len(list(tmp_path.rglob("summary.json")))
    for answer, flags, status in (("n\n", [], 2), ("", [], 2), ("y\n", [], 0), ("", ["--yes"], 0)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        outcome: Outcome = command("reproduce", str(paper), *flags)
        assert outcome.status == status, outcome.err
        for text in ("names: ", "sends nothing anywhere", "parameters  ", "memory  ", "ends  "):
            assert text in outcome.err
        runs += status == 0
        assert len(list(tmp_path.rglob("summary.json"))) == runs


def test_reproduce_reports_differing_metrics_versions_and_edits(command, paper: Path) -> None:  # type: ignore[no-untyped-def]
    exported = read(paper)
    exported["runs"][0]["metrics"]["return_mean"] += 1.0
    exported["versions"]["torch"] = "1.0"
    paper.write_text(yaml.safe_dump(exported))
    outcome: Outcome = command("reproduce", str(paper))
    assert outcome.status == 1, outcome.err
    assert "return_mean" in outcome.out
    assert "torch 1.0 -> " in outcome.out
    assert "the file was edited after it was exported" in outcome.out


def test_reproduce_accepts_differing_metrics_in_realtime_mode(command, paper: Path) -> None:  # type: ignore[no-untyped-def]
    exported = read(paper)
    exported["mode"] = exported["config"]["launcher"]["mode"] = "realtime"
    exported["runs"][0]["metrics"]["return_mean"] += 1.0
    paper.write_text(yaml.safe_dump(exported))
    outcome: Outcome = command("reproduce", str(paper))
    assert outcome.status == 0, outcome.err
    assert "every run depends on the wall clock" in outcome.out


def test_reproduce_accepts_and_reports_overrides(command, paper: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    outcome: Outcome = command("reproduce", str(paper), "--yes", "launcher.max_steps=160")
    assert outcome.status == 0, outcome.err
    assert "launcher.max_steps=160 was set for this run" in outcome.out
    (summary,) = (tmp_path / "outputs" / "cartpole_ppo").rglob("summary.json")
    assert json.loads(summary.read_text())["steps"] == 160


@pytest.mark.slow
def test_export_of_a_sweep_holds_intervals_and_each_run_can_be_reproduced(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = ("seed=0,1", "models.policy.learning_rate=0.001,0.002", "launcher.max_steps=320")
    run(command, "-m", *CARTPOLE, *words)
    run(command, "export", "outputs/sweeps", "-o", "paper.yaml")
    exported = read(tmp_path / "paper.yaml")
    assert exported["seeds"] == [0, 1]
    assert exported["budget"]["runs"] == 4
    assert len(exported["metrics"]) == 2
    figure = next(iter(exported["metrics"].values()))["return_mean"]
    assert figure["low"] <= figure["iqm"] <= figure["high"]
    assert figure["runs"] == 2
    changes = [each["changes"] for each in exported["runs"]]
    assert {} in changes
    assert {"set": {"seed": 1, "models": {"policy": {"learning_rate": 0.002}}}} in changes
    (chosen,) = [index for index, each in enumerate(changes) if len(each.get("set", {})) == 2]
    outcome: Outcome = command("reproduce", "paper.yaml", "--run", str(chosen))
    assert outcome.status == 0, outcome.err
    assert "seed 1: all" in " ".join(outcome.out.split())
    both: Outcome = command("reproduce", "paper.yaml", "--run", "0", "--run", "1")
    assert both.status == 0, both.err
    assert both.out.count("metrics are the same") == 2


def test_export_writes_hyperparameter_tables_in_latex_and_markdown(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run(command, *CARTPOLE, f"hydra.run.dir={tmp_path / 'one'}")
    latex: Outcome = command("export", "one", "--latex")
    assert r"\begin{tabular}" in latex.out
    assert r"models.policy.learning\_rate & 0.001" in latex.out
    run(command, "export", "one", "--markdown", "-o", "table.md")
    assert "| models.policy.learning_rate " in (tmp_path / "table.md").read_text()
    assert command("export", "one").status == 2


def test_reproduce_refuses_an_invalid_or_malicious_file(command, paper: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    exported = read(paper)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"config": {"environment": {"_target_": "os.system", "command": "touch marker"}}}, "may not name os.system"),
        ({"config": {"hydra": {"callbacks": {}}}}, "config.hydra: may not be set by a shared config"),
        ({"config": {"tracking": {"wandb": {"_target_": "pamiq_exp.tracking.WandbTracker"}}}}, "config.tracking"),
        ({"config": {"paths": {"outputs": "/etc"}}}, "config.paths"),
        ({"config": {"experiment_name": "../../evil"}}, "is no name for a folder"),
        ({"config": {"experiment_name": ".hidden"}}, "is no name for a folder"),
        ({"config": {"shared": {"home": "${oc.env:HOME}"}, "seed": "${shared.home}"}}, "seed"),
        ({"runs": [{"changes": {"set": {"hydra": {}}}}]}, "config.hydra: may not be set"),
        ({"runs": [{"changes": {"set": {"experiment_name": "../up"}}}]}, "may not name another experiment"),
        ({"runs": [{"changes": {"remove": ["not a path"]}}]}, "expected `changes`"),
        ({"runs": []}, "is no exported experiment"),
        ({"format": 99}, "written by a later pamiq_exp"),
        ({"format": "1"}, "is no exported experiment"),
    ]
    for changes, message in cases:
        merged = {key: exported[key] | value if isinstance(value, dict) else value for key, value in changes.items()}
        paper.write_text(yaml.safe_dump(exported | merged))
        outcome: Outcome = command("reproduce", str(paper))
        assert outcome.status == 2, changes
        assert message in outcome.err
        assert "Traceback" not in outcome.err
        assert not (tmp_path / "outputs").exists(), changes
        assert not (tmp_path / "marker").exists(), changes


def test_reproduce_refuses_a_file_that_export_did_not_write(command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for text in ("", "- 1\n", "a: [\n", "a: &a [*a]\n", "a: !!python/object/apply:os.system [ls]\n"):
        (tmp_path / "paper.yaml").write_text(text)
        outcome: Outcome = command("reproduce", "paper.yaml")
        assert outcome.status == 2, text
        assert "Traceback" not in outcome.err
    assert command("reproduce", "nowhere.yaml").status == 2


@pytest.mark.parametrize(("count", "message"), [(2, "is not set"), (3, "3 are more than 2")])
def test_reproduce_limits_the_number_of_runs_in_a_file(  # type: ignore[no-untyped-def]
    command, count: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pamiq_exp.cli._exported_file._MOST_RUNS", 2)
    paper = {"format": 1, "config": {"experiment_name": "sent", "seed": 0}, "runs": [{}] * count}
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(paper))
    assert message in command("reproduce", "paper.yaml").err


def test_reproduce_refuses_classes_of_packages_that_are_not_allowed(command, doll: list[str], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run(command, *doll, f"hydra.run.dir={tmp_path / 'one'}")
    run(command, "export", "one", "-o", "paper.yaml")
    refused: Outcome = command("reproduce", "paper.yaml")
    assert refused.status == 2
    assert "--allow tests" in refused.err
    run(command, "reproduce", "paper.yaml", "--allow", "tests.config.parts")


def test_export_refuses_to_mix_two_experiments_in_one_file(command, doll: list[str], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run(command, *doll)
    run(command, *doll, "experiment_name=other")
    outcome: Outcome = command("export", "outputs", "-o", "paper.yaml")
    assert outcome.status == 2
    assert "export each experiment to a file of its own" in outcome.err
