"""The search with Optuna: finished, killed, resumed, shared and pruned trials."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

optuna = pytest.importorskip("optuna", reason="the search needs the extra [sweep]")

from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: E402
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402

from hydra_plugins.pamiq_exp_sweeps.search_sweeper import SearchConf  # noqa: E402
from pamiq_exp.run_folder.reader import last_record  # noqa: E402
from pamiq_exp.sweeps.folder import is_locked  # noqa: E402
from pamiq_exp.sweeps.pruning import RUNGS, Curve  # noqa: E402
from pamiq_exp.sweeps.search import Searcher, distribution  # noqa: E402
from tests.cli.sweep_fixtures import read, states, sweep_folder, write_experiment  # noqa: E402
from tests.cli.test_sweep import start, wait_for  # noqa: E402
from tests.conftest import Command  # noqa: E402

Result = Callable[[float, int], float]
SPACE: dict[str, BaseDistribution] = {"rate": FloatDistribution(0.0, 1.0)}


class InstantLauncher:
    """Writes the run folder of each job as if it had run: its score is a function of rate and seed."""

    def __init__(self, folder: Path, score: Result, stop_after: int | None = None) -> None:
        self.folder, self.score, self.stop_after = folder, score, stop_after
        self.launched: list[int] = []

    def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        for words in jobs:
            if self.stop_after is not None and len(self.launched) >= self.stop_after:
                raise KeyboardInterrupt
            values = dict(word.split("=") for word in words)
            folder = self.folder / values["hydra.sweep.subdir"]
            folder.mkdir(exist_ok=True)
            value = self.score(float(values["rate"]), int(values.get("seed", 0)))
            recorded = value if math.isfinite(value) else "NaN"
            (folder / "summary.json").write_text(json.dumps({"score": recorded}))
            (folder / "manifest.json").write_text(json.dumps({"state": "finished"}))
            self.launched.append(int(folder.name))


def searcher(folder: Path, **settings: Any) -> Searcher:
    return Searcher(SearchConf(metric="score", **settings), SPACE, ["experiment=failing"], folder)


def run(one: Searcher, launcher: Any) -> None:
    while one.run_batch(launcher):
        pass


def test_search_finds_the_best_value_and_writes_it_to_a_file(tmp_path: Path) -> None:
    launcher = InstantLauncher(tmp_path, lambda rate, seed: 1.0 - (rate - 0.3) ** 2)
    run(searcher(tmp_path, trials=25, at_once=2), launcher)
    result = read(tmp_path / "search.json")
    assert launcher.launched == list(range(25))
    assert result["best"]["settings"]["rate"] == pytest.approx(0.3, abs=0.1)
    assert len(result["trials"]) == 25


def test_search_warns_if_a_study_began_with_another_optuna_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert searcher(tmp_path, trials=1).study.user_attrs["optuna_version"] == optuna.__version__
    searcher(tmp_path, trials=1)
    assert not caplog.messages
    monkeypatch.setattr(optuna, "__version__", "4.0.0")
    searcher(tmp_path, trials=1)
    assert "begun with Optuna" in caplog.text


def test_search_value_of_a_trial_is_the_mean_over_its_seeds(tmp_path: Path) -> None:
    launcher = InstantLauncher(tmp_path, lambda rate, seed: rate + 10.0 * seed)
    run(searcher(tmp_path, trials=2, seeds=[1, 2, 3]), launcher)
    for trial in read(tmp_path / "search.json")["trials"]:
        assert trial["value"] == pytest.approx(trial["settings"]["rate"] + 20.0)
        assert trial["jobs"] == [3 * trial["trial"] + index for index in range(3)]


def test_search_continues_after_a_trial_without_a_finite_value(tmp_path: Path) -> None:
    launcher = InstantLauncher(tmp_path, lambda rate, seed: math.nan if rate > 0.5 else rate)
    run(searcher(tmp_path, trials=12), launcher)
    result = read(tmp_path / "search.json")
    assert {trial["state"] for trial in result["trials"]} == {"complete", "fail"}
    assert all("no finite value" in trial["reason"] for trial in result["trials"] if trial["state"] == "fail")
    assert result["best"]["settings"]["rate"] <= 0.5
    resumed = InstantLauncher(tmp_path, lambda rate, seed: math.nan)
    run(searcher(tmp_path, trials=12), resumed)
    assert resumed.launched == [], "a trial without a finite value is not retried"


def test_search_resumed_retries_a_trial_whose_job_was_killed(tmp_path: Path) -> None:
    class Deadly(InstantLauncher):
        def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> None:
            super().launch(jobs, initial_job_idx)
            if initial_job_idx == 2:
                killed = {"state": "failed", "reason": "killed by SIGKILL: out of memory"}
                (self.folder / "3" / "manifest.json").write_text(json.dumps(killed))

    score: Result = lambda rate, seed: rate  # noqa: E731
    run(searcher(tmp_path, trials=3, seeds=[0, 1]), Deadly(tmp_path, score))
    before = read(tmp_path / "search.json")["trials"]
    assert [trial["state"] for trial in before] == ["complete", "fail", "complete"]
    assert before[1]["reason"] == "job 3 failed: killed by SIGKILL: out of memory"
    resumed = InstantLauncher(tmp_path, score)
    run(searcher(tmp_path, trials=3, seeds=[0, 1]), resumed)
    assert resumed.launched == [2, 3]
    *rest, again = read(tmp_path / "search.json")["trials"]
    assert rest == before
    assert (again["state"], again["retry_of"], again["jobs"]) == ("complete", 1, [2, 3])
    assert again["settings"] == before[1]["settings"]
    more = InstantLauncher(tmp_path, score)
    run(searcher(tmp_path, trials=4, seeds=[0, 1]), more)
    assert len(more.launched) == 2, "a trial that was tried again counts once"


def test_search_resumed_completes_the_trials_of_an_interrupted_one(tmp_path: Path) -> None:
    score: Result = lambda rate, seed: rate  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run(searcher(tmp_path, trials=6, seeds=[0, 1]), InstantLauncher(tmp_path, score, stop_after=5))
    trials = searcher(tmp_path, trials=6).study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    launcher = InstantLauncher(tmp_path, score)
    run(searcher(tmp_path, trials=6, seeds=[0, 1]), launcher)
    result = read(tmp_path / "search.json")
    assert [trial["state"] for trial in result["trials"]] == ["complete"] * 6
    assert result["trials"][2]["settings"] == trials[2].params
    assert launcher.launched == list(range(4, 12)), "finished jobs run again, or unfinished ones do not"


def test_search_workers_share_the_trials_of_one_study(tmp_path: Path) -> None:
    launchers = [InstantLauncher(tmp_path, lambda rate, seed: rate) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda launcher: run(searcher(tmp_path, trials=15), launcher), launchers))
    launched = sorted(number for launcher in launchers for number in launcher.launched)
    assert launched == list(range(15))
    assert {trial["state"] for trial in read(tmp_path / "search.json")["trials"]} == {"complete"}


def test_distribution_parses_the_sweep_syntax_of_hydra() -> None:
    expected: dict[str, BaseDistribution] = {
        "a=interval(0.0,1)": FloatDistribution(0.0, 1.0),
        "a=tag(log,interval(1e-5,1e-2))": FloatDistribution(1e-5, 1e-2, log=True),
        "a=interval(1,8)": FloatDistribution(1.0, 8.0),
        "a=tag(log,int(interval(1,8)))": IntDistribution(1, 8, log=True),
        "a=range(1,8,2)": IntDistribution(1, 7, step=2),
        "a=choice(b,2,'x y')": CategoricalDistribution(["b", "2", "x\\ y"]),
        "a=0.1,0.2": CategoricalDistribution(["0.1", "0.2"]),
        "a=[1,2],[3]": CategoricalDistribution(["[1,2]", "[3]"]),
    }
    overrides = OverridesParser.create().parse_overrides(list(expected))
    assert {word: distribution(override) for word, override in zip(expected, overrides, strict=True)} == expected


def write_curve(folder: Path, values: Sequence[float], steps: int) -> None:
    """Write the records of a run that has come to `len(values)` of `steps` steps."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(f"launcher: {{max_steps: {steps}}}\n")
    with open(folder / "metrics.jsonl", "a") as file:
        for index, value in enumerate(values):
            record = {"environment_step": index + 1, "wall_seconds": 0.1, "interaction/score": value}
            file.write(json.dumps(record) + "\n")


def test_curve_reads_a_growing_file(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "0", "interaction/score")
    curve.read()
    assert curve.values == []
    write_curve(tmp_path / "0", [float(value) for value in range(30)], steps=60)
    curve.read()
    assert curve.values == [2.0, 5.0, 8.0, 11.0, 14.0, 17.0, 20.0, 23.0, 26.0, 29.0]
    with open(tmp_path / "0" / "metrics.jsonl", "a") as file:
        file.write('{"environment_step": 60, "wall_seconds": 1, "interaction/sc')
    curve.read()
    with open(tmp_path / "0" / "metrics.jsonl", "a") as file:
        file.write('ore": 7.5}\n')
    curve.read()
    assert curve.values[10:] == [7.5] * (RUNGS - 10)


def test_search_prunes_a_trial_that_is_worse_than_others(tmp_path: Path) -> None:
    class Recording(InstantLauncher):
        def launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> None:
            number = initial_job_idx
            level = 0.0 if number == 6 else 1.0 + number / 100
            write_curve(self.folder / str(number), [level] * 10, steps=20)
            if number == 6:
                while not (self.folder / "6" / "prune.json").exists():
                    assert len(Curve(self.folder / "6", "interaction/score").values) < RUNGS
                (self.folder / "6" / "manifest.json").write_text(json.dumps({"state": "stopped"}))
            else:
                super().launch(jobs, initial_job_idx)

    launcher = Recording(tmp_path, lambda rate, seed: 1.0)
    run(searcher(tmp_path, trials=8, pruner="median", prune_by="interaction/score"), launcher)
    found = [trial["state"] for trial in read(tmp_path / "search.json")["trials"]]
    assert found == ["complete"] * 6 + ["pruned", "complete"]
    assert "interaction/score 0" in read(tmp_path / "6" / "prune.json")["reason"]


@pytest.mark.parametrize(("setting", "value"), [("sampler", "guess"), ("pruner", "shears"), ("direction", "up")])
def test_search_refuses_an_unknown_sampler_pruner_or_direction(tmp_path: Path, setting: str, value: str) -> None:
    with pytest.raises(Exception, match=f"must be .*, not '{value}'"):
        searcher(tmp_path, **{setting: value})


@pytest.mark.slow
def test_search_resumed_after_its_process_was_killed_completes_all_trials(command: Command, tmp_path: Path) -> None:
    words = ["-m", *write_experiment(tmp_path), "hydra/sweeper=search", "hydra.sweeper.metric=score"]
    words += ["hydra.sweeper.trials=3", "hydra.sweeper.seeds=[0,1]", "metrics.score.rate=interval(0.0,1.0)"]
    words += ["interaction.agent.seconds=0.1", "launcher.max_steps=40"]
    program = start(words, tmp_path)
    wait_for(lambda: any((tmp_path / "outputs").rglob("2/metrics.jsonl")))
    sweep = sweep_folder(tmp_path)
    wait_for(lambda: last_record(sweep / "2").get("environment_step", 0) > 8)
    program.kill()
    program.communicate()
    wait_for(lambda: not is_locked(sweep / "2"))
    assert states(sweep) == ["finished", "finished", "stopped"]
    before = read(sweep / "search.json")["trials"]

    outcome = command(*words, "--resume")
    assert outcome.status == 0, outcome.err
    assert states(sweep) == ["finished"] * 6
    assert "going on from step_" in (sweep / "2" / "output.txt").read_text()
    assert "best score" in outcome.out
    trials = read(sweep / "search.json")["trials"]
    assert len(trials) == 3
    assert trials[: len(before)] == before
    for trial in trials:
        assert trial["value"] == pytest.approx(1.0 - (trial["settings"]["metrics.score.rate"] - 0.3) ** 2)


@pytest.mark.slow
def test_search_resumes_a_killed_job_from_its_checkpoint(command: Command, tmp_path: Path) -> None:
    words = ["-m", *write_experiment(tmp_path), "hydra/sweeper=search", "hydra.sweeper.metric=score"]
    words += ["hydra.sweeper.trials=2", "metrics.score.rate=interval(0.0,1.0)", "interaction.agent.failure=kill"]
    words += ["interaction.agent.at=18", f"interaction.agent.marker='{tmp_path}/killed'"]
    assert command(*words).status == 1
    sweep = sweep_folder(tmp_path)
    assert states(sweep) == ["failed", "finished"]
    assert [trial["state"] for trial in read(sweep / "search.json")["trials"]] == ["fail", "complete"]
    outcome = command(*words, "--resume")
    assert outcome.status == 0, outcome.err
    assert states(sweep) == ["finished", "finished"]
    assert "going on from step_000000015" in (sweep / "0" / "output.txt").read_text()
    *_, again = read(sweep / "search.json")["trials"]
    assert (again["state"], again["jobs"]) == ("complete", [0])
