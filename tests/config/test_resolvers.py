"""The functions that a config may call."""

from __future__ import annotations

import math
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pamiq_exp.config import ConfigError
from pamiq_exp.config.checks.interpolations import resolve, value_at
from pamiq_exp.config.resolvers import reseeded
from pamiq_exp.seeding import derive_seed
from tests.cases import error_of


def value(expression: str, **variables: object) -> object:
    return value_at({**variables, "answer": f"${{{expression}}}"}, "answer")


def test_resolver_derived_seed_depends_on_root_seed_and_address() -> None:
    config = {"seed": 3, "a": {"seed": "${derived_seed:}"}, "b": [{"seed": "${derived_seed:}"}]}
    assert value_at(config, "a.seed") == derive_seed(3, "a")
    assert value_at(config, "b[0].seed") == derive_seed(3, "b[0]")
    assert value_at({**config, "seed": 4}, "a.seed") == derive_seed(4, "a")


def test_resolver_derived_seed_is_the_same_through_interpolations() -> None:
    tree = resolve(
        {
            "seed": 3,
            "environment": {"seed": "${derived_seed:}"},
            "interaction": {"environment": "${environment}", "shared": "${environment.seed}"},
        }
    ).tree
    seed = derive_seed(3, "environment")
    assert tree["interaction"] == {"environment": {"seed": seed}, "shared": seed}


def test_resolver_derived_seed_refuses_a_root_seed_that_is_not_an_integer() -> None:
    for seed in ("x", True, None, 0.5):
        tree = {"seed": seed, "a": {"seed": "${derived_seed:}"}}
        assert "whole number" in error_of(ConfigError, partial(value_at, tree, "a.seed")), seed


@given(st.integers(-1000, 1000), st.integers(1, 1000))
def test_resolver_arithmetic_is_that_of_python(a: int, b: int) -> None:
    assert value("add:${a},${b}", a=a, b=b) == a + b
    assert value("subtract:${a},${b}", a=a, b=b) == a - b
    assert value("multiply:${a},${b},2", a=a, b=b) == 2 * a * b
    assert value("divide:${a},${b}", a=a, b=b) == a / b
    assert value("floor_divide:${a},${b}", a=a, b=b) == a // b
    assert value("minimum:${a},${b}", a=a, b=b) == min(a, b)
    assert value("maximum:${a},${b}", a=a, b=b) == max(a, b)


@example([])
@given(st.lists(st.integers(1, 9), max_size=4))
def test_resolver_product_and_length_match_python(shape: list[int]) -> None:
    assert value("product:${shape}", shape=shape) == math.prod(shape)
    assert value("length:${shape}", shape=shape) == len(shape)


def test_resolver_arithmetic_refuses_values_that_are_not_numbers() -> None:
    for expression in ("add:1,x", "multiply:true,2", "product:[1,x]", "add:"):
        assert "needs numbers" in error_of(ConfigError, partial(value, expression)), expression


def test_resolver_oc_env_refuses_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "HOME", "PATH"):
        monkeypatch.setenv(name, "secret-value")
        message = error_of(ConfigError, partial(value, f"oc.env:{name}"))
        assert "may not read" in message, name
        assert "secret-value" not in message


def test_resolver_oc_env_reads_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert value("oc.env:CUDA_VISIBLE_DEVICES") == "1"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert value("oc.env:CUDA_VISIBLE_DEVICES,none") == "none"


def test_reseeded_changes_each_seed_and_nothing_else() -> None:
    node = {"seed": 1, "a": [{"seed": 1, "b": True}, 2], "c": {"seed": None, "seeds": 3}}
    one, other = reseeded(node, "one"), reseeded(node, "other")
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert one["seed"] == one["a"][0]["seed"] not in (1, other["seed"])
    assert one["c"] == node["c"]
    assert one["a"][1] == 2
