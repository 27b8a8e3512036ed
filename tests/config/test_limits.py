"""How much a config may ask for."""

from __future__ import annotations

from typing import Any

import pytest

from pamiq_exp.config.checks.limits import BY_ADDRESS, BY_NAME, limit_problems
from tests.conftest import Command


def nested(key: str, value: object) -> dict[str, Any]:
    name, _, rest = key.partition(".")
    return {name: nested(rest, value) if rest else value}


@pytest.mark.parametrize(
    ("key", "most"),
    [(f"trainers.any.{name}", most) for name, (most, _) in BY_NAME.items()]
    + [(key, most) for key, (most, _) in BY_ADDRESS.items()],
)
def test_what_is_beyond_a_ceiling_is_refused_and_what_reaches_it_is_not(key: str, most: int) -> None:
    assert list(limit_problems(nested(key, most))) == []
    (problem,) = limit_problems(nested(key, most + 1))
    assert problem.key == key
    assert f"at most {most:,}" in problem.message


@pytest.mark.parametrize("value", [None, True, "many", "${shared.x}", 0])
def test_what_is_no_number_is_left_to_others(value: object) -> None:
    assert list(limit_problems({"environment": {"num_envs": value, "threads": [value]}})) == []


@pytest.mark.parametrize(
    "words", [["environment.num_envs=1000000000"], ["environment.num_envs=${shared.many}", "+shared.many=1000000000"]]
)
def test_absurd_numbers_are_refused_before_anything_is_built(command: Command, words: list[str]) -> None:
    outcome = command("check", "experiment=minimum", *words)
    assert outcome.status == 1
    assert "environment.num_envs: asks for 1,000,000,000 environments; at most 100,000" in outcome.err


def test_sizes_and_the_end_of_a_run_are_told(command: Command) -> None:
    outcome = command("check", "experiment=minimum", "launcher.max_steps=5000", "launcher.max_seconds=60")
    assert outcome.status == 0
    assert "at most 1,000,000,000" in outcome.out
    assert "threads     1 for acting and 1 for training" in outcome.out
    assert "ends        after 5,000 steps or after 60 seconds" in outcome.out
