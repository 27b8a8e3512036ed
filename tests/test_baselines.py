from __future__ import annotations

from pamiq_exp.baselines import coverage_sentence


def test_coverage_is_told_beside_both_walks() -> None:
    summary = {"coverage": 0.7, "coverage_random": 0.75, "coverage_sticky_random": 0.9}
    assert coverage_sentence(summary) == (
        "visited 70 % of the reachable cells; a random walk of the same length visits 75 %, one with inertia 90 %"
    )


def test_one_walk_and_small_shares_are_told() -> None:
    assert coverage_sentence({"coverage": 0.012, "coverage_random": 0.02}) == (
        "visited 1.2 % of the reachable cells; a random walk of the same length visits 2.0 %"
    )


def test_the_length_of_a_walk_that_is_shorter_than_the_run_is_told() -> None:
    summary = {"coverage": 0.7, "coverage_sticky_random": 0.9, "coverage_sticky_random_steps": 500_000.0}
    assert coverage_sentence(summary) == (
        "visited 70 % of the reachable cells; a random walk with inertia of 500,000 steps visits 90 %"
    )


def test_nothing_is_told_without_coverage_or_walks() -> None:
    assert coverage_sentence({"coverage": 0.7}) is None
    assert coverage_sentence({"coverage_random": 0.7}) is None
    assert coverage_sentence({"coverage": "n/a", "coverage_random": float("nan")}) is None
