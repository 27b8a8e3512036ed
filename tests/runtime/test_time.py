"""Clocks, pacing and durations."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.runtime.clock import VirtualClock, WallClock
from pamiq_exp.runtime.durations import Durations
from pamiq_exp.runtime.pacing import Pacer


@pytest.fixture
def perf_counter(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time that the test sets; a sleep advances it by exactly its seconds."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_wall_clock_stops_while_paused_and_continues_on_resume(perf_counter: list[float]) -> None:
    clock = WallClock(time_scale=10.0)
    perf_counter[0] += 5.0
    assert clock.wall_seconds == 0.0
    clock.start()
    perf_counter[0] += 2.0
    clock.pause()
    clock.pause()
    perf_counter[0] += 50.0
    assert (clock.wall_seconds, clock.run_seconds) == (2.0, 20.0)
    clock.resume()
    perf_counter[0] += 1.0
    assert (clock.wall_seconds, clock.run_seconds) == (3.0, 30.0)


def test_wall_clock_restores_times_with_another_scale(perf_counter: list[float]) -> None:
    clock = WallClock(time_scale=2.0)
    clock.restore(run_seconds=30.0, wall_seconds=3.0)
    clock.start()
    perf_counter[0] += 1.0
    assert (clock.wall_seconds, clock.run_seconds) == (4.0, 32.0)


def test_wall_clock_instances_are_independent(perf_counter: list[float]) -> None:
    one, other = WallClock(), WallClock()
    one.start()
    other.start()
    one.pause()
    perf_counter[0] += 1.0
    assert (one.wall_seconds, other.wall_seconds) == (0.0, 1.0)


def test_virtual_clock_moves_only_when_advanced() -> None:
    clock = VirtualClock()
    clock.start()
    assert clock.run_seconds == 0.0
    clock.advance(0.1)
    clock.advance(0.1)
    assert clock.run_seconds == pytest.approx(0.2)


def test_pacer_does_not_drift_with_uneven_turns(perf_counter: list[float]) -> None:
    pacer = Pacer(0.01, "catch_up", Durations())
    starts = []
    for turn in range(1000):
        assert pacer.wait(lambda: False)
        starts.append(perf_counter[0])
        perf_counter[0] += 0.001 * (turn % 9)
        assert pacer.turn_taken()
    expected = 100.0 + 0.01 * np.arange(1000)
    assert np.abs(np.array(starts) - expected).max() < 1e-9


@pytest.mark.parametrize(
    ("overrun", "next_starts", "skipped"), [("catch_up", [0.035, 0.036, 0.037, 0.04], 0), ("skip", [0.04], 3)]
)
def test_pacer_counts_a_late_turn_and_catches_up_or_skips(
    perf_counter: list[float], overrun: str, next_starts: list[float], skipped: int
) -> None:
    lateness = Durations()
    pacer = Pacer(0.01, overrun, lateness)  # type: ignore[arg-type]
    pacer.wait(lambda: False)
    perf_counter[0] += 0.035
    assert not pacer.turn_taken()
    starts = []
    for _ in next_starts:
        pacer.wait(lambda: False)
        starts.append(perf_counter[0] - 100.0)
        perf_counter[0] += 0.001
        pacer.turn_taken()
    assert starts == pytest.approx(next_starts)
    assert lateness.count == len(next_starts) + 1
    assert lateness.maximum == pytest.approx(0.025 if overrun == "catch_up" else 0.0, abs=1e-9)
    assert pacer.skipped == skipped


def test_pacer_skips_a_long_lag_even_when_catching_up(perf_counter: list[float]) -> None:
    pacer = Pacer(0.01, "catch_up", Durations())
    perf_counter[0] += 1.005
    assert not pacer.turn_taken()
    assert pacer.skipped == 100
    assert pacer.wait(lambda: False)
    assert perf_counter[0] == pytest.approx(101.01, abs=0.0101)


def test_pacer_wait_ends_early_when_interrupted(perf_counter: list[float]) -> None:
    pacer = Pacer(1000.0, "skip", Durations())
    pacer.wait(lambda: False)
    pacer.turn_taken()
    assert not pacer.wait(lambda: perf_counter[0] > 100.2)
    assert perf_counter[0] < 100.5


@given(st.lists(st.floats(1e-7, 100.0), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_durations_quantiles_are_right_to_two_percent(values: list[float], share: float) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    assert exact * 0.999 <= durations.quantile(share) <= exact * 1.021
    assert durations.maximum == max(values)
    assert durations.mean == pytest.approx(sum(values) / len(values))


def test_durations_without_values_are_zero() -> None:
    durations = Durations()
    assert (durations.mean, durations.quantile(0.99), durations.maximum) == (0.0, 0.0, 0.0)
    durations.add(0.0)
    assert durations.count == 1


def test_wall_clock_paused_by_another_thread_during_a_read_is_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = WallClock()
    pauses = [clock.pause]

    def paused_meanwhile() -> float:
        while pauses:
            pauses.pop()()
        return 110.0

    monkeypatch.setattr(time, "perf_counter", lambda: 100.0)
    clock.start()
    monkeypatch.setattr(time, "perf_counter", paused_meanwhile)
    assert clock.wall_seconds == 10.0
    assert clock.wall_seconds == 10.0
