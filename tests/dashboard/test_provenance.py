"""The origins of values, from the composition that a run keeps, match those of `compose`."""

from __future__ import annotations

from typing import Any

import pytest

from pamiq_exp.config import compose, origin_of, record_composition
from pamiq_exp.config.tree_paths import leaves
from pamiq_exp.dashboard import provenance


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=pamiq2024", "seed=3"],
        [
            "experiment=pamiq2024",
            "reward=rnd",
            "dynamics=recurrent",
            "core@policy_core=gru",
            "models.dynamics.network.token_width=64",
        ],
        ["experiment=minimum", "launcher=pipelined", "environment.id=CartPole-v1"],
    ],
)
def test_provenance_of_shipped_configs_matches_the_origins_of_compose(words: list[str]) -> None:
    composed = compose(words)
    table, kept = composed.origins, provenance.provenance_of(record_composition(composed).to_plain())
    wrong = {}
    for key, _ in leaves(composed.tree):
        expected = origin_of(key, table)
        found = provenance.origin_of(key, kept)
        if expected is not None and not _same(str(expected), found):
            wrong[key] = str(expected), found
    assert not wrong


def _same(expected: str, found: str) -> bool:
    if expected.startswith("command line"):
        return found == f"typed:{expected.partition(':')[2]}"
    return bool(found) and expected.endswith(found)


def test_provenance_of_an_invalid_composition_raises_no_error() -> None:
    compositions: list[dict[str, Any]] = [
        {},
        {"files": 3},
        {"files": {"a": 3}},
        {"files": {"a": "["}, "overrides": 3},
        {"files": {"a": "- 1"}},
        {"files": {"../../x": "a: &a [*a]"}, "overrides": [None, {"a": 1}]},
        {"files": {"a": "defaults: [{a: 1, b: 2}, [3]]"}},
        {"files": {"a": "defaults: [{x@y: [1]}]"}},
        {"files": {"a": "? [1, 2]\n: {[3]: 4}"}},
    ]
    for composition in compositions:
        origins = provenance.provenance_of(composition).values()
        assert all(origin.startswith("typed: ") for origin in origins), composition


def test_provenance_of_a_typed_group_choice_is_the_chosen_file() -> None:
    files = {
        "config": "launcher:\n  steps: 1\n",
        "launcher/lockstep": "# @package _global_\nlauncher:\n  mode: lockstep\n",
    }
    table = provenance.provenance_of({"files": files, "overrides": ["launcher=lockstep"]})
    assert table["launcher.mode"] == "launcher/lockstep.yaml:3"


def test_provenance_of_later_files_replaces_values_and_merges_mappings() -> None:
    files = {"config": "a:\n  b: 1\n  c: 1\n", "g/x": "b:\n  d: 2\n", "h": "# @package a\nc: 3\n"}
    table = provenance.provenance_of({"files": files, "overrides": ["a.b=7"]})
    assert table["a.b"] == "typed: a.b=7"
    assert table["a.c"] == "h.yaml:2"
    assert table["g.b.d"] == "g/x.yaml:2"
    assert provenance.origin_of("g.b.d[3].e", table) == "g/x.yaml:2"
    assert provenance.origin_of("z", table) == ""
