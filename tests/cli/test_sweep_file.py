"""`conf/sweep/NAME.yaml`: the overrides that it gives, and what it may not contain."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from pamiq_exp.config import AllowList, ConfigError, Source, compose, examine
from pamiq_exp.jobs.request import read_request
from pamiq_exp.sweeps.sweep_file import expand, read
from tests.cases import error_of
from tests.conftest import REPOSITORY, Command
from tests.end_to_end.worlds import need_packages_of


def written(folder: Path, text: str) -> Source:
    (folder / "sweep").mkdir(exist_ok=True)
    (folder / "sweep" / "mine.yaml").write_text(text)
    return Source(folder=str(folder))


def test_sweep_file_grid_is_converted_to_overrides(tmp_path: Path) -> None:
    source = written(
        tmp_path,
        """
experiment: minimum
overrides: [tracking=jsonl_only]
grid:
  environment.num_envs: [1, 2]
  environment.id: [CartPole-v1, "a, b"]
  launcher.record_every_steps: range(10,30,10)
  interaction.agent.flag: [true, null]
seeds: 2
executor: {name: joblib, jobs: 2}
budget: {max_steps: 100}
""",
    )
    assert read("mine", source).words() == [
        "experiment=minimum",
        "tracking=jsonl_only",
        "launcher.max_steps=100",
        "environment.num_envs=1,2",
        "environment.id=CartPole-v1,'a, b'",
        "launcher.record_every_steps=range(10,30,10)",
        "interaction.agent.flag=true,null",
        "seed=0,1",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
    ]


def test_sweep_file_search_is_converted_to_overrides(tmp_path: Path) -> None:
    source = written(
        tmp_path,
        """
search:
  space: {a.rate: 'tag(log,interval(1e-4,1e-2))', a.kind: [x, y]}
  metric: coverage
seeds: [3, 5]
executor: {name: submitit_slurm, partition: long, minutes: 60, restarts: 5}
budget: {trials: 9}
""",
    )
    assert read("mine", source).words() == [
        "hydra/sweeper=search",
        "hydra.sweeper.metric=coverage",
        "hydra.sweeper.trials=9",
        "hydra.sweeper.seeds=[3,5]",
        "a.rate=tag(log,interval(1e-4,1e-2))",
        "a.kind=x,y",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=60",
        "hydra.launcher.max_num_timeout=5",
        "hydra.launcher.partition=long",
    ]


def test_sweep_file_is_overridden_by_the_command_line() -> None:
    request = expand(read_request(["-m", "sweep=noise", "world=clean", "seed=7", "launcher.max_steps=10"]))
    assert [word for word in request.overrides if word.startswith(("world", "seed", "launcher.max"))] == [
        "world=clean",
        "seed=7",
        "launcher.max_steps=10",
    ]
    assert request.arguments[: len(request.overrides)] == request.overrides
    assert "experiment=pamiq2024" in request.overrides
    assert "-m" in request.arguments


WRONG = {
    "grdi: {a: [1]}": "did you mean grid?",
    "executor: {name: jobli}": "expected one of basic, joblib",
    "executor: {name: basic, jobs: 2}": "executor.jobs: is not for basic",
    "executor: {name: ray, address: 'evil:6379'}": "executor.address: there is no such key",
    "executor: {name: submitit_slurm, setup: [rm]}": "executor.setup: there is no such key",
    'executor: {name: submitit_slurm, partition: "a\\nrm -rf x"}': "is no name",
    "overrides: [hydra.launcher.setup=x]": "Hydra's own settings are for the command line",
    "overrides: [+hydra.callbacks.a=x]": "Hydra's own settings are for the command line",
    "grid: {hydra.sweep.dir: [a]}": "Hydra's own settings are for the command line",
    "grid: {a: [1]}\nsearch: {space: {b: [1]}}": "a search has no grid",
    "search: {storage: 'postgresql://evil'}": "search.storage: there is no such key",
    "budget: {trials: 3}": "only a search has trials",
    "seeds: 0": "expected at least one, not 0",
    "seeds: many": "expected a whole number or a list",
    "- a": "expected keys and values",
    "a: [": "cannot be read",
}


def test_sweep_file_with_an_error_is_refused_with_a_message(tmp_path: Path) -> None:
    for text, expected in WRONG.items():
        message = error_of(ConfigError, partial(read, "mine", written(tmp_path, text)))
        assert expected in message, text


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ('"a b": [1, 2]', "cannot be read"),
        ('"": [1]', "names no key"),
        ("world: [claen, remote]", "there is no world 'claen'"),
        ("lancher.max_steps: [1, 2]", "there is no such key"),
        ("environment.wrold: [1, 2]", "there is no such key"),
        ("decoder: [null]", "cannot be set to null"),
    ],
)
def test_sweep_file_is_named_in_errors_of_its_words(command: Command, tmp_path: Path, word: str, error: str) -> None:
    written(tmp_path, f"experiment: curiosity_noise_world\ngrid:\n  {word}\n")
    outcome = command("check", "-m", "sweep=mine", "--config-dir", str(tmp_path))
    assert outcome.status != 0
    assert error in outcome.err
    assert "at sweep/mine.yaml: " in outcome.err
    assert "command line" not in outcome.err


def test_sweep_file_choice_is_refused_if_unknown_repeated_or_without_m(command: Command) -> None:
    assert "did you mean noise?" in command("-m", "sweep=noisy").err
    assert "add -m" in command("sweep=noise").err
    assert "one sweep at a time" in command("-m", "sweep=noise", "sweep=seeds").err


LARGE = {"study", *(f"study_{name}" for name in ("ama", "cycle", "long", "map", "minigrid", "noise"))}
"""Sweeps of many jobs, of which one is checked in every test run."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in LARGE else ())
        for path in sorted((REPOSITORY / "conf" / "sweep").glob("*.yaml"))
    ],
)
def test_check_accepts_each_shipped_sweep(command: Command, path: Path) -> None:
    pytest.importorskip("optuna", reason="needs the extra [sweep]")
    need_packages_of(path.stem)
    experiment = [] if "experiment:" in path.read_text() else ["experiment=minimum"]
    outcome = command("check", "-m", f"sweep={path.stem}", *experiment)
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("name", sorted(LARGE))
def test_examine_accepts_the_last_job_of_each_large_sweep(name: str) -> None:
    need_packages_of(name)
    file = read(name, Source())
    given = {*file.grid, "seed", "hydra/launcher", "hydra.launcher.n_jobs"}
    words = [word for word in file.words() if word.partition("=")[0] not in given]
    composed = compose([*words, *(f"{key}={values[-1]}" for key, values in file.grid.items())])
    assert [str(each) for each in examine(composed, AllowList(), dry_run=False).errors] == []
    assert composed.tree["launcher"]["max_steps"] == file.budget.max_steps
