"""The panel, the lines and the summary in the terminal."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pamiq_exp.formatting import clock
from pamiq_exp.tracking import RecordWriter, RunInfo, TerminalTracker, Value
from pamiq_exp.tracking.progress import Progress, sparkline, summary_panel


def info(max_steps: int | None = 1000, max_seconds: float | None = None, name: str = "curiosity") -> RunInfo:
    folder = Path("outputs/curiosity/run")
    return RunInfo(folder, "run", name, seed=7, mode="realtime", max_steps=max_steps, max_seconds=max_seconds)


def shown(progress: Progress) -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(progress.panel())
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def summary_text(exit_code: int, summary: Mapping[str, Value], name: str = "curiosity") -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(summary_panel(info(name=name), exit_code, summary))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def record(step: int, seconds: float, source: str = "interaction", **metrics: float) -> dict[str, float | int | str]:
    axes: dict[str, float | int | str] = {
        "source": source,
        "environment_step": step,
        "wall_seconds": seconds,
        "run_seconds": seconds,
        "model_version": 3,
        "training_step": 40,
    }
    return axes | {f"{source}/{name.replace('__', '/')}": value for name, value in metrics.items()}


def test_terminal_panel_shows_progress_rate_metrics_and_losses() -> None:
    progress = Progress(info())
    progress.add(record(100, 10.0, coverage=0.125, reward=0.5, time__deadline_misses=0))
    progress.add(record(100, 10.0, "dynamics", loss=2.0))
    progress.add(record(500, 30.0, coverage=0.25, reward=0.75, time__deadline_misses=4))
    progress.add(record(500, 30.0, "dynamics", loss=0.5))
    text = shown(progress)
    for part in (
        "curiosity",
        "seed 7",
        "realtime",
        "50 %",
        "500 / 1,000 steps",
        "0:00:30",
        "0:00:25 left",
        "coverage 25.0 %",
        "reward 0.750",
        "steps/s 20",
        "deadline misses 4",
        "model version 3",
        "training steps 40",
        "dynamics loss",
        "2 → 0.500",
    ):
        assert part in text, part
    assert max(len(line) for line in text.splitlines()) <= 110


def test_terminal_panel_of_an_unlimited_run_shows_no_bar_and_no_remaining_time() -> None:
    progress = Progress(info(max_steps=None))
    progress.add(record(100, 10.0))
    assert "%" not in shown(progress)
    assert "left" not in shown(progress)


def test_progress_of_a_run_with_a_time_limit_counts_down() -> None:
    progress = Progress(info(max_steps=None, max_seconds=100.0))
    progress.add(record(100, 60.0))
    assert progress.fraction == pytest.approx(0.6, abs=0.01)
    assert progress.remaining == pytest.approx(40, abs=1)


def test_terminal_summary_shows_the_main_metrics_of_a_run() -> None:
    summary: dict[str, Value] = {
        "state": "finished",
        "steps": 20000,
        "wall_seconds": 3723.4,
        "steps_per_second": 109.25,
        "deadline_misses": 2,
        "dropped": 0,
        "coverage": 0.4213,
        "reward_mean": 0.312,
        "dynamics_loss_first": 0.913,
        "dynamics_loss_last": 0.1234,
    }
    text = summary_text(0, summary)
    for part in (
        "✓ finished",
        "20,000",
        "1:02:03",
        "109.2",
        "42.1 %",
        "0.312",
        "0.913 → 0.123",
        "outputs/curiosity/run",
    ):
        assert part in text, part


def test_terminal_summary_shows_a_failed_run_even_without_metrics() -> None:
    assert "✗ failed" in summary_text(1, {})


def test_terminal_output_removes_control_characters_from_names() -> None:
    evil = "name\x1b[31m\x07\r[bold red]x"
    progress = Progress(info(name=evil))
    progress.add({"environment_step": 1, "wall_seconds": 1.0, f"{evil}/loss": 1.0})
    for text in (shown(progress), progress.line(), summary_text(0, {"state": evil}, name=evil)):
        assert not any(character in text for character in "\x1b\x07\r")
    assert "[bold red]x" in shown(progress)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_panel_is_replaced_by_the_summary_at_the_end(tmp_path: Path) -> None:
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=100, height=30)
    writer = RecordWriter({"terminal": TerminalTracker(refresh_seconds=0.0, console=console)}, tmp_path, 0.01)
    writer.start(info())
    writer.put(record(100, 10.0, coverage=0.1))
    writer.flush()
    logging.getLogger("test").warning("the disk is full")
    writer.close(0, {"state": "finished", "steps": 1000})
    text = screen.getvalue()
    assert "the disk is full" in text
    assert "finished" in text.rpartition("the disk is full")[2]
    assert text.rpartition("run folder")[2].count("\x1b[2K") == 0  # nothing is erased after the summary
    writer.check()


def test_terminal_tracker_prints_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    page = io.StringIO()
    tracker = TerminalTracker(line_seconds=0.0, console=Console(file=page, width=80))
    tracker.start(info())
    tracker.tick()
    tracker.write(record(100, 10.0, coverage=0.1, time__deadline_misses=0))
    tracker.write(record(100, 10.0, "dynamics", loss=0.25))
    tracker.tick()
    tracker.finish(0, {"state": "finished"})
    lines = page.getvalue().splitlines()
    assert lines[0].startswith("curiosity  seed 7")
    assert "step 100/1,000" in lines[1]
    assert "dynamics loss 0.250" in lines[1]
    assert "deadline misses" not in lines[1]
    assert "\x1b" not in page.getvalue()
    assert "✓ finished" in page.getvalue()


def test_terminal_tracker_prints_warnings_at_the_next_tick(tmp_path: Path) -> None:
    page = io.StringIO()
    tracker = TerminalTracker(console=Console(file=page, width=80))
    tracker.start(info())
    logging.getLogger("test").warning("slow")
    assert "slow" not in page.getvalue()
    tracker.tick()
    assert "warning: slow" in page.getvalue()
    tracker.finish(0, {})
    logging.getLogger("test").warning("over")
    assert "over" not in page.getvalue()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200), st.integers(1, 40))
def test_sparkline_is_at_most_as_wide_as_given_and_spans_the_range(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(width, len(values))
    if len(values) <= width and max(values) - min(values) > 1e-3:
        assert line[values.index(max(values))] == "█"
        assert line[values.index(min(values))] == "▁"


def test_sparkline_omits_non_finite_values() -> None:
    assert len(sparkline([1.0, math.nan, 2.0, math.inf], 10)) == 2
    assert sparkline([math.nan], 10) == ""


def test_clock_shows_hours_minutes_and_seconds() -> None:
    texts = {0: "0:00:00", 59.9: "0:00:59", 3723.4: "1:02:03", 360000: "100:00:00"}
    assert {seconds: clock(seconds) for seconds in texts} == texts


def test_terminal_summary_compares_coverage_with_random_walks() -> None:
    metrics = {"state": "finished", "coverage": 0.7, "coverage_random": 0.75, "coverage_sticky_random": 0.9}
    assert "a random walk of the same length visits 75 %, one with inertia 90 %" in " ".join(
        summary_text(0, metrics).replace("│", "").split()
    )
