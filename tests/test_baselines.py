from __future__ import annotations

from pamiq_exp.baselines import coverage_sentence


def test_coverage_sentence_compares_with_both_random_walks() -> None:
    summary = {"coverage": 0.7, "coverage_random": 0.75, "coverage_sticky_random": 0.9}
    assert coverage_sentence(summary) == (
        "visited 70 % of the reachable cells; a random walk of the same length visits 75 %, one with inertia 90 %"
    )


def test_coverage_sentence_shows_small_shares_with_one_decimal() -> None:
    assert coverage_sentence({"coverage": 0.012, "coverage_random": 0.02}) == (
        "visited 1.2 % of the reachable cells; a random walk of the same length visits 2.0 %"
    )


def test_coverage_sentence_states_the_length_of_a_shorter_walk() -> None:
    summary = {"coverage": 0.7, "coverage_sticky_random": 0.9, "coverage_sticky_random_steps": 500_000.0}
    assert coverage_sentence(summary) == (
        "visited 70 % of the reachable cells; a random walk with inertia of 500,000 steps visits 90 %"
    )


def test_coverage_sentence_is_none_without_coverage_or_walks() -> None:
    assert coverage_sentence({"coverage": 0.7}) is None
    assert coverage_sentence({"coverage_random": 0.7}) is None
    assert coverage_sentence({"coverage": "n/a", "coverage_random": float("nan")}) is None
