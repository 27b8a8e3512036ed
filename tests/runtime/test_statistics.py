"""Statistics of a run: the table of names, the summary and the status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pamiq_exp.run_folder.statistics import STATISTICS, statistics_in
from pamiq_exp.runtime import LaunchConfig, RunHandle, Status
from pamiq_exp.runtime.statistics import RunStatistics
from tests.runtime.parts import launch_small


def test_run_statistics_have_a_value_for_each_name_of_the_table() -> None:
    counted = {
        "restarts",
        "steps",
        "turns",
        "deadline_misses",
        "skipped_turns",
        "failed_saves",
        "observation_age_seconds",
    }
    computed = {name for name, value in vars(RunStatistics).items() if isinstance(value, property)}
    assert STATISTICS.keys() == counted | computed


def test_run_statistics_are_in_the_summary_and_in_the_status_of_a_live_run() -> None:
    statuses: list[Status] = []

    @contextmanager
    def watch(handle: RunHandle) -> Iterator[None]:
        statuses.append(handle.status())
        yield

    summary = launch_small(LaunchConfig(mode="lockstep", max_steps=20), watch=watch)
    of_clusters = {"restarts"}
    assert set(statistics_in("summary")) - of_clusters <= summary.keys()
    assert set(statistics_in("status")) - of_clusters <= statuses[0].keys()
