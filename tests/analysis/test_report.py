from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pamiq_exp.analysis import Options, ReportError, compare, find_runs, read_runs, write_report
from pamiq_exp.analysis.figures import Plot, bars, learning_curves
from pamiq_exp.analysis.records import Series
from pamiq_exp.analysis.results import choose_baseline, choose_metric, collect_scores, result_tables
from pamiq_exp.analysis.trend import results_trend
from tests.analysis.folders import learning, write_run, write_study

VOID = {"meta", "link", "img"}


class ParsedPage(HTMLParser):
    """Checks that elements are closed in order, and keeps tags and text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def headings(self) -> list[str]:
        return re.findall(r"<h2[^>]*>([^<]*)</h2>", self.source)


def report(folder: Path, options: Options = Options(), paths: Sequence[Path] = ()) -> ParsedPage:
    runs = read_runs(find_runs(paths or [folder / "runs"]))
    return ParsedPage(write_report(runs, folder / "report", options))


def rows(folder: Path, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "report" / "tables" / f"{table}.csv").open()))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on two rewards in two worlds, with a failed and a running run, a film, and names with markup."""
    folder = tmp_path_factory.mktemp("study")
    arms = {"random": 0.2, "<script>alert(1)</script>$_{": 0.6}
    write_study(folder / "runs", arms=arms, seeds=5)
    first = folder / "runs" / "0"
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(first / "media" / "map_000000100.png")
    (first / "media" / "view_000000050.mp4").write_bytes(b"an older film")
    (first / "media" / "view_000000100.mp4").write_bytes(b"a film")
    (first / "wandb").mkdir()
    (first / "wandb" / "run_url.txt").write_text("https://example.org/run/1\n")
    words = ["experiment=study", "reward=random", "world=clean"]
    write_run(folder / "runs" / "90", seed=8, overrides=words, state="failed", reason="MemoryError: <b>no room</b>")
    write_run(folder / "runs" / "91", seed=9, overrides=words, state="running")
    curves = ("interaction/coverage", "dynamics/loss")
    report(folder, Options(curves=curves, axes=("environment_step", "wall_seconds"), resamples=200))
    return folder


def test_report_shows_results_unfinished_runs_commands_and_links(study: Path) -> None:
    page = ParsedPage(study / "report" / "report.html")
    assert page.headings() == ["Results", "Learning curves", "Videos and pictures", "Runs", "Settings", "Appendix"]
    assert "22 runs (20 finished, 1 failed, 1 running); 2 arms on 2 tasks" in page.text
    assert "2 of 22 runs are not in the statistics" in page.text
    assert "MemoryError: <b>no room</b>" in page.text
    below = f"{study / 'runs'}{os.sep}"
    assert f"All runs; below {below}" in page.text
    assert ["0", "clean"] in [[row["run"].removeprefix(below), row["task"]] for row in rows(study, "runs")]
    assert "<td>90</td>" in page.source
    assert "python -m pamiq_exp experiment=study reward=random world=clean seed=0" in page.text
    assert ("a", {"href": "https://example.org/run/1", "rel": "noreferrer"}) in page.tags


def test_report_has_no_scripts_and_loads_nothing_external(study: Path) -> None:
    page = ParsedPage(study / "report" / "report.html")
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script" not in page.source
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    sources = [attributes["src"] or "" for tag, attributes in page.tags if "src" in attributes]
    assert len(sources) == 5 + 4 + 2 - 2
    assert all(source.startswith("data:") for source in sources)


def test_report_embeds_the_newest_video_of_each_name(study: Path) -> None:
    page = ParsedPage(study / "report" / "report.html")
    films = [attributes["src"] for tag, attributes in page.tags if tag == "video"]
    assert films == ["data:video/mp4;base64,YSBmaWxt"]
    assert "map_000000100" in page.text


def test_report_writes_tables_and_figures_in_all_formats(study: Path) -> None:
    figures = {path.name for path in (study / "report" / "figures").iterdir()}
    names = ["results", "improvement", "profile"]
    names += [
        f"curve_{name}_over_{axis}"
        for name in ("interaction_coverage", "dynamics_loss")
        for axis in ("environment_step", "wall_seconds")
    ]
    assert figures == {f"{name}.{suffix}" for name in names for suffix in ("pdf", "svg", "png")}
    tables = {path.stem for path in (study / "report" / "tables").iterdir()}
    assert {
        "results",
        "results_over_tasks",
        "against_baseline",
        "runs",
        "failures",
        "hyper_parameters",
        "hardware",
    } <= tables
    assert "| A processor |" in (study / "report" / "appendix.md").read_text()


def test_report_tables_match_the_values_of_the_runs(study: Path) -> None:
    runs = [run for run in read_runs(find_runs([study / "runs"])) if run.state == "finished"]
    for row in rows(study, "results"):
        own = [
            run.value("coverage")
            for run in runs
            if f"reward={row['arm']}" in run.overrides and f"world={row['task']}" in run.overrides
        ]
        assert float(row["mean"]) == pytest.approx(np.mean(np.array(own, dtype=float)))
        assert float(row["mean low"]) < float(row["mean"]) < float(row["mean high"])
    against = rows(study, "against_baseline")
    assert [row["the interval says"] for row in against] == ["better"]
    assert against[0]["paired by seed"] == "yes"
    assert float(against[0]["P(better)"]) == 1.0
    assert {row["run"][-2:]: row["why"] for row in rows(study, "failures")} == {"90": "failed", "91": "running"}


def test_report_is_byte_identical_for_the_same_runs(tmp_path: Path) -> None:
    write_study(tmp_path / "runs", arms={"random": 0.2, "rnd": 0.5}, worlds=["clean"], seeds=2)
    options = Options(curves=("dynamics/loss",), resamples=50)
    report(tmp_path, options)
    first = {
        path.relative_to(tmp_path): path.read_bytes() for path in (tmp_path / "report").rglob("*") if path.is_file()
    }
    report(tmp_path, options)
    assert first == {path: (tmp_path / path).read_bytes() for path in first}


@pytest.mark.parametrize("state", ["failed", "running", "stopped"])
def test_report_of_an_unfinished_run_states_that_no_run_has_finished(tmp_path: Path, state: str) -> None:
    write_run(tmp_path / "runs" / "0", state=state, reason="because")
    page = report(tmp_path, Options(curves=("interaction/coverage",)))
    assert f"1 run (1 {state}); 1 arm" in page.text
    assert "No run has finished: there are no statistics" in page.text
    assert page.headings() == ["Learning curves", "Runs", "Appendix"]


def test_report_compares_coverage_with_random_walks(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "0", summary={"coverage": 0.7, "coverage_random": 0.75})
    write_run(tmp_path / "runs" / "1", seed=1, summary={"coverage": 0.7})
    assert "a random walk of the same length visits 75 %" in report(tmp_path).text
    assert len(rows(tmp_path, "coverage")) == 1


def test_report_shows_a_run_without_manifest_and_records_as_unknown(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "overrides.yaml").write_text("[]\n")
    assert "1 run (1 unknown)" in report(tmp_path).text


def test_report_of_a_single_run_has_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "0", summary={"coverage": 0.25})
    page = report(tmp_path, Options(curves=("interaction/coverage",)))
    (row,) = rows(tmp_path, "results")
    assert (row["arm"], row["mean"]) == ("study", "0.25")
    assert "mean low" not in row or row["mean low"] == ""
    assert "no interval can be computed" in page.text


def test_report_excludes_and_names_a_run_with_a_nan_metric(tmp_path: Path) -> None:
    for seed, value in enumerate([0.5, "NaN", 0.7]):
        write_run(tmp_path / "runs" / str(seed), seed=seed, summary={"coverage": value})
    page = report(tmp_path, Options(curves=("interaction/coverage",), resamples=20))
    assert float(rows(tmp_path, "results")[0]["mean"]) == pytest.approx(0.6)
    assert "has nan coverage" in page.text


def test_collect_scores_with_lower_is_better_prefers_smaller_values(tmp_path: Path) -> None:
    for seed in range(5):
        for arm, loss in (("old", 1.0), ("new", 0.5)):
            words = [f"model={arm}"]
            write_run(tmp_path / f"{arm}{seed}", seed=seed, overrides=words, summary={"loss": loss + seed / 100})
    comparison = compare(read_runs(find_runs([tmp_path])))
    scores = collect_scores(comparison, "loss", lower_is_better=True, resamples=50)
    assert scores.arms == ("new", "old")
    assert choose_baseline(scores, None) == "old"
    against = next(table for table in result_tables(scores, "old") if table.name == "against_baseline")
    arm, difference, verdict, _, better = against.rows[0]
    assert (arm, verdict) == ("new", "better")
    assert difference.value == pytest.approx(-0.5)  # type: ignore[union-attr]
    assert better.value == 1.0  # type: ignore[union-attr]


def test_choose_baseline_defaults_to_the_arm_named_random(tmp_path: Path) -> None:
    for seed in range(2):
        for arm, level in (("random", 0.5), ("random_features", 0.1)):
            write_run(tmp_path / f"{arm}{seed}", seed=seed, overrides=[f"reward={arm}"], summary={"coverage": level})
    scores = collect_scores(compare(read_runs(find_runs([tmp_path]))), "coverage")
    assert scores.arms == ("random", "random_features")
    assert choose_baseline(scores, None) == "random"
    assert choose_baseline(scores, "random_features") == "random_features"


def test_collect_scores_can_be_normalized_per_task(tmp_path: Path) -> None:
    for seed in range(2):
        for arm, level in (("a", 0.0), ("b", 1.0)):
            for world, scale in (("small", 1.0), ("large", 1000.0)):
                words = [f"reward={arm}", f"world={world}"]
                write_run(
                    tmp_path / f"{arm}{world}{seed}", seed=seed, overrides=words, summary={"coverage": level * scale}
                )
    scores = collect_scores(compare(read_runs(find_runs([tmp_path]))), "coverage").normalized()
    assert {arm: [values.tolist() for values in scores.strata(arm)] for arm in ("a", "b")} == {
        "a": [[0.0, 0.0], [0.0, 0.0]],
        "b": [[1.0, 1.0], [1.0, 1.0]],
    }


def test_report_of_a_search_shows_the_importance_of_each_setting(tmp_path: Path) -> None:
    for job in range(12):
        rate, kind = 10.0 ** -(job % 4), "ab"[job // 4 % 2]
        words = [f"models.rate={rate}", f"kind={kind}"]
        config = {"models": {"rate": rate}}
        write_run(
            tmp_path / "runs" / str(job),
            overrides=words,
            seed=job // 8,
            config=config,
            summary={"coverage": job % 4 + job / 100},
        )
    page = report(tmp_path, Options(curves=("interaction/coverage",), resamples=20))
    assert "Hyper-parameters" in page.headings()
    shares = {row["setting"]: float(row["share"]) for row in rows(tmp_path, "importance")}
    assert shares["models.rate"] > 0.9
    assert shares["kind"] < 0.1


def write_delays(folder: Path, delays: Sequence[object]) -> None:
    for job, delay in enumerate(delays):
        for arm in ("blind", "told"):
            for seed in range(3):
                score = -100.0 - 50 * job * (arm == "blind") - seed
                write_run(
                    folder / f"{job}_{arm}_{seed}",
                    overrides=[f"arm={arm}", f"delay={delay}"],
                    seed=seed,
                    summary={"return_mean": score},
                )


def trend_of(folder: Path) -> Plot | None:
    comparison = compare(read_runs(find_runs([folder])), arm_keys=["arm"], task_keys=["delay"])
    scores = collect_scores(comparison, "return_mean", resamples=20)
    return results_trend(comparison, scores)


def test_trend_draws_each_arm_over_a_numeric_setting_in_order(tmp_path: Path) -> None:
    write_delays(tmp_path, [10, 0, 2])
    plot = trend_of(tmp_path)
    assert plot is not None
    panel = plot.figure.axes[0]
    ticks = {text.get_text(): place for place, text in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)}
    assert ticks == {"0": 0.0, "2": 2.0, "10": 10.0}
    lines = {line.get_label(): line for line in panel.get_lines() if not str(line.get_label()).startswith("_")}
    assert list(lines) == ["told", "blind"]
    assert list(map(float, lines["blind"].get_ydata())) == [-151.0, -201.0, -101.0]
    assert np.allclose(lines["blind"].get_xdata(), [0, 2, 10], atol=0.5)


def test_trend_uses_a_log_scale_for_wide_positive_settings(tmp_path: Path) -> None:
    write_delays(tmp_path, [0.001, 0.01, 0.1])
    plot = trend_of(tmp_path)
    assert plot is not None
    assert plot.figure.axes[0].get_xlabel() == "delay (log scale)"
    assert np.allclose(np.diff(np.sort(plot.figure.axes[0].get_xticks())), np.log(10))


@pytest.mark.parametrize(
    "delays", [[0, 1], ["few", "some", "many"], [0, 1, "many"], ["true", "false", 3], [0, 1, ".inf"], [0, 1, 10**400]]
)
def test_trend_needs_three_tasks_that_differ_in_one_finite_number(tmp_path: Path, delays: list[object]) -> None:
    write_delays(tmp_path, delays)
    assert trend_of(tmp_path) is None


def test_report_includes_the_trend_of_numeric_tasks(tmp_path: Path) -> None:
    write_delays(tmp_path / "runs", [0, 1, 4])
    page = report(tmp_path, Options(arm_keys=("arm",), task_keys=("delay",), metric="return_mean", resamples=20))
    assert "return_mean over delay: interquartile mean" in page.text
    assert (tmp_path / "report" / "figures" / "trend.pdf").is_file()


def test_bars_mark_negative_scores_without_a_bar_from_zero(tmp_path: Path) -> None:
    for sign, count in ((1, 2), (-1, 0)):
        write_delays(tmp_path / str(sign), [0])
        comparison = compare(read_runs(find_runs([tmp_path / str(sign)])), arm_keys=["arm"], task_keys=["delay"])
        scores = collect_scores(comparison, "return_mean", resamples=20)
        values = {task: {arm: -sign * each for arm, each in cells.items()} for task, cells in
                  scores.values_by_task(scores.arms).items()}  # fmt: skip
        plot = bars("name", "title", values, scores.by_task(), metric="return_mean", arms=scores.arms)
        assert len(plot.figure.axes[0].patches) == count


def test_write_report_refuses_unknown_options_with_the_available_ones(tmp_path: Path) -> None:
    write_study(tmp_path / "runs", arms={"random": 0.2, "rnd": 0.5}, worlds=["clean"], seeds=1)
    runs = read_runs(find_runs([tmp_path / "runs"]))
    for options, message in (
        (Options(metric="coverag"), "did you mean coverage"),
        (Options(baseline="icm"), "no arm 'icm' to compare with; the arms are: rnd; random"),
        (Options(curves=("a/b",)), "no run recorded 'a/b'; there are: dynamics/loss"),
        (Options(axes=("time",)), "no axis 'time'; use one of environment_step"),
    ):
        with pytest.raises(ReportError, match=re.escape(message)):
            write_report(runs, tmp_path / "report", options)
    assert not (tmp_path / "report").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="cannot be written"):
        write_report(runs, tmp_path / "file" / "report")


def test_choose_metric_returns_the_given_or_a_recorded_metric(tmp_path: Path) -> None:
    write_run(tmp_path / "a", records=learning())
    comparison = compare(read_runs(find_runs([tmp_path])))
    assert choose_metric(comparison, None) == "interaction/coverage"
    assert choose_metric(comparison, "steps") == "steps"


def test_report_draws_a_constant_metric_only_on_request(tmp_path: Path) -> None:
    records = [{**record, "interaction/fixed": 1.0} for record in learning() if record["source"] == "interaction"]
    write_run(tmp_path / "runs" / "0", records=records)
    file = tmp_path / "report" / "figures" / "curve_interaction_fixed_over_environment_step.png"
    report(tmp_path)
    assert not file.exists()
    report(tmp_path, Options(curves=("interaction/fixed",)))
    assert file.exists()


def test_learning_curves_differ_in_color_and_in_marker_or_line_style() -> None:
    at = np.linspace(0, 1, 30)
    arms = [f"arm {index}" for index in range(7)]
    curves = {"": {arm: [Series({"environment_step": at}, at + index, 0.0, 0)] for index, arm in enumerate(arms)}}
    plot = learning_curves("name", "title", curves, axis="environment_step", metric="x", arms=arms)
    assert isinstance(plot, Plot)
    lines = plot.figure.axes[0].get_lines()
    assert len({line.get_color() for line in lines}) == 7
    assert len({(line.get_marker(), line.get_linestyle(), str(line._dash_pattern)) for line in lines}) == 7  # type: ignore[attr-defined]


BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


def photograph(page: Path, target: Path, *flags: str) -> tuple[np.ndarray, str]:
    """Open a page in the browser; return `(height, width, 3)` and the messages of its console."""
    assert BROWSER is not None
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    words = [BROWSER, "--headless", "--disable-gpu", "--hide-scrollbars", *as_root, f"--user-data-dir={target}.profile"]
    words += ["--enable-logging=stderr", "--window-size=1000,1800", f"--screenshot={target}", *flags, page.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return np.asarray(Image.open(target).convert("RGB")), "\n".join(messages)


@pytest.mark.skipif(BROWSER is None, reason="no browser is installed (chromium or google-chrome)")
def test_report_renders_in_a_browser_in_light_and_dark(study: Path, tmp_path: Path) -> None:
    page = study / "report" / "report.html"
    light, messages = photograph(page, tmp_path / "light.png", "--blink-settings=preferredColorScheme=1")
    dark, more_messages = photograph(page, tmp_path / "dark.png", "--blink-settings=preferredColorScheme=0")
    assert messages + more_messages == ""
    assert light.mean() > 200
    assert dark.mean() < 60
    for picture, color in ((light, "0072b2"), (dark, "4aa8e0")):
        ink = np.array([int(color[index : index + 2], 16) for index in (0, 2, 4)])
        assert (np.abs(picture.astype(int) - ink).max(axis=-1) < 12).sum() > 50, "the figures are not drawn"
