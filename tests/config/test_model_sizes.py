"""The sizes that models come in: `size=base` for all of them, `sizes.encoder=base` for one."""

from __future__ import annotations

import pytest
import torch

from pamiq_exp.config import AllowList, compose, compose_config, examine
from pamiq_exp.config.resolvers import SIZES
from tests.benchmarks.bench_model_sizes import PARAMETERS, count, make
from tests.conftest import options_of

CURIOUS = ("experiment=pamiq2024",)


@pytest.mark.parametrize("words", PARAMETERS)
def test_model_sizes_have_the_parameter_counts_of_the_table(words: str) -> None:
    with torch.device("meta"):
        counts = {size: count(make(words, size)) for size in PARAMETERS[words]}
    assert counts == PARAMETERS[words]


def test_model_sizes_table_has_each_option() -> None:
    chosen = {word for words in PARAMETERS for word in words.split()}
    without_models = {"none", "plain_features"}
    for_other_spaces = {"dqn", "dqn_cartpole", "sac", "sac_pixels", "ppo_jax"}  # the table has images and branches
    for group in ("encoder", "dynamics", "policy", "core"):
        counted = set(options_of(group)) - without_models - for_other_spaces
        assert {f"{group}={name}" for name in counted} <= chosen


@pytest.mark.parametrize("size", SIZES)
def test_size_of_all_models_is_set_by_one_override(size: str) -> None:
    for agent in ("pamiq2023", "pamiq2024_imagination"):
        composed = compose([*CURIOUS, f"agent={agent}", f"size={size}"])
        assert [str(each) for each in examine(composed, AllowList(), dry_run=False).errors] == []


def test_size_of_one_model_leaves_the_others() -> None:
    models = compose([*CURIOUS, "sizes.encoder=large"]).resolved.tree["models"]
    assert models["encoder"]["image"]["depth"] == 12
    assert models["dynamics"]["network"]["core"]["depth"] == 2


def test_size_is_overridden_by_a_single_value() -> None:
    models = compose([*CURIOUS, "size=base", "core.width=64"]).resolved.tree["models"]
    assert (models["dynamics"]["network"]["core"]["width"], models["dynamics"]["network"]["core"]["depth"]) == (64, 9)


@pytest.mark.parametrize(("word", "key"), [("size=huge", "size"), ("sizes.encoder=huge", "sizes.encoder")])
def test_size_that_is_unknown_is_reported_with_the_known_sizes(word: str, key: str) -> None:
    errors = examine(compose([*CURIOUS, word]), AllowList(), dry_run=False).errors
    assert [each.key for each in errors] == [key]
    assert "there is no size 'huge'" in str(errors[0])
    assert "choose cpu, small, base, large" in str(errors[0])
    assert f"at command line: {word}" in str(errors[0])


def test_compose_config_sets_the_core_of_all_models_or_of_the_policy() -> None:
    def mixers(*words: str) -> list[str]:
        models = compose_config([*CURIOUS, *words]).models
        return [str(models[name].network.core.mixer._target_).rpartition(".")[2] for name in ("dynamics", "policy")]

    assert mixers() == ["SioConv", "SioConv"]
    assert mixers("core=gru") == ["Gru", "Gru"]
    assert mixers("core@policy_core=qlstm") == ["SioConv", "QLstm"]
