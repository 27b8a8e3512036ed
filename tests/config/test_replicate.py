"""`_replicate_`: one node that is copied several times."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pamiq_exp.config import ConfigError, compose_config
from pamiq_exp.config.checks.interpolations import resolve
from pamiq_exp.config.hydra_loader import Source
from pamiq_exp.config.replicate import expand_replicas
from tests.cases import error_of


def expanded(text: str) -> Any:
    found = resolve(expand_replicas(yaml.safe_load(text)))
    assert not found.errors
    return found.tree


def test_replicate_makes_copies_with_an_index_each() -> None:
    tree = expanded("""
shared: {levels: 3}
models:
  before: 1
  level:
    _replicate_: ${shared.levels}
    width: ${multiply:64,${add:${index},1}}
    number: ${index}
    reads: level_${index}
    sizes: [1, "${index}"]
  after: 2
""")
    assert list(tree["models"]) == ["before", "level_0", "level_1", "level_2", "after"]
    assert tree["models"]["level_2"] == {"width": 192, "number": 2, "reads": "level_2", "sizes": [1, 2]}


def test_replicate_names_copies_by_pattern_or_list() -> None:
    tree = expanded('models: {x: {_replicate_: {count: 2, names: "stage_${index}_of_2"}, n: "${index}"}}')
    assert tree["models"] == {"stage_0_of_2": {"n": 0}, "stage_1_of_2": {"n": 1}}
    tree = expanded("models: {x: {_replicate_: {names: [low, high]}, n: '${index}'}}")
    assert tree["models"] == {"low": {"n": 0}, "high": {"n": 1}}


def test_replicate_expands_a_list_entry_in_place() -> None:
    tree = expanded('names: [first, {_replicate_: 2, _value_: "level_${index}"}, last]')
    assert tree["names"] == ["first", "level_0", "level_1", "last"]


def test_replicate_nests_with_an_index_for_each_level() -> None:
    tree = expanded("""
house:
  room:
    _replicate_: {count: 2, index: room}
    lamp:
      _replicate_: {count: 2, index: lamp}
      at: ${room}/${lamp}
""")
    assert tree["house"] == {f"room_{r}": {f"lamp_{n}": {"at": f"{r}/{n}"} for n in range(2)} for r in range(2)}


def test_replicate_of_zero_removes_the_node() -> None:
    assert expanded("models: {x: {_replicate_: 0, a: 1}, y: 2}") == {"models": {"y": 2}}


def test_replicate_gives_each_copy_its_own_seed() -> None:
    tree = expanded("seed: 1\nmodels: {x: {_replicate_: 3, seed: '${derived_seed:}'}}")
    assert len({node["seed"] for node in tree["models"].values()}) == 3


def test_expand_replicas_returns_a_config_without_replicas_unchanged() -> None:
    tree = {"a": {"b": "${index}"}, "c": "???"}
    assert expand_replicas(tree) is tree
    assert tree == {"a": {"b": "${index}"}, "c": "???"}


def test_replicate_reports_errors_with_their_address() -> None:
    for text, words in (
        ("m: {x: {_replicate_: many}}", ["m.x._replicate_", "number of copies"]),
        ("m: {x: {_replicate_: -1}}", ["0 to 1000"]),
        ("m: {x: {_replicate_: true}}", ["number of copies"]),
        ("m: {x: {_replicate_: {cuont: 2}}}", ["m.x._replicate_.cuont", "did you mean count"]),
        ("m: {x: {_replicate_: '${shared.n}'}}", ["m.x._replicate_"]),
        ("m: {x: {_replicate_: 2}, x_1: 5}", ["x_1", "already"]),
        ("m: {x: {_replicate_: {count: 2, names: same}}}", ["several copies would be called same"]),
        ("m: {x: {_replicate_: {count: 2, names: 'a b ${index}'}}}", ["'a b 0' is no name"]),
        ("m: {x: {_replicate_: {count: 3, names: [a, b]}}}", ["3 copies, but 2 names"]),
    ):
        message = error_of(ConfigError, partial(expanded, text))
        assert all(word in message for word in words), (text, message)


def test_replicate_works_in_a_config_file_and_from_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "several.yaml").write_text("""# @package _global_
defaults:
  - minimum
experiment_name: several
models:
  part:
    _replicate_: 2
    _target_: tests.config.parts.Part
    size: ${index}
""")
    source = Source(folder=str(tmp_path))
    config = compose_config(["experiment=several", "models.part._replicate_=3"], source)
    assert list(config.models) == ["part_0", "part_1", "part_2"]
    assert config.models.part_2.size == 2
