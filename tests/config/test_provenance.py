"""Which file and line set a key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_exp.config import (
    ConfigError,
    ErrorDetail,
    Origin,
    Source,
    compose,
    config_folder,
    located,
    origin_of,
)
from pamiq_exp.config.hydra_loader import ConfigFile
from pamiq_exp.config.provenance import provenance_of
from pamiq_exp.config.yaml_files import MOST_BYTES, read_text_nodes
from pamiq_exp.files import MOST_DEPTH
from pamiq_exp.option_files import Option
from tests.cases import error_of

EXPERIMENT = """\
# @package _global_
defaults:
  - minimum
  - _self_
experiment_name: mine
launcher:
  max_steps: 5
  checkpoint: {keep: 4}
interaction:
  agent:
    parts: [1,
            2]
"""


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A user's folder with one experiment."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(EXPERIMENT)
    return Source(folder=str(tmp_path))


def test_provenance_of_a_key_is_the_last_file_that_set_it(source: Source, tmp_path: Path) -> None:
    table = compose(["experiment=mine", "seed=3", "launcher.device=auto"], source).origins
    mine = str(tmp_path / "experiment" / "mine.yaml")
    assert table["experiment_name"] == Origin(mine, 5)
    assert table["launcher.max_steps"] == Origin(mine, 7)
    assert table["launcher.checkpoint.keep"] == Origin(mine, 8)
    assert table["interaction.agent.parts[1]"] == Origin(mine, 12)
    assert table["seed"] == Origin("command line", text="seed=3")
    assert table["seed"].typed
    realtime = (config_folder() / "launcher" / "realtime.yaml").read_text().splitlines()
    assert realtime[table["launcher.overrun"].line - 1].startswith("overrun:")
    assert table["launcher.overrun"].file.endswith("conf/launcher/realtime.yaml")


def test_provenance_of_every_shipped_key_is_a_line_that_names_it() -> None:
    composed = compose(["experiment=pamiq2024"])
    table, packages = composed.origins, {file.package for file in composed.files}
    for key, origin in table.items():
        lines = Path(origin.file).read_text().splitlines() if origin.file.endswith(".yaml") else [key]
        line = lines[origin.line - 1] if len(lines) > 1 else key
        named = key.rpartition(".")[2].partition("[")[0] in line
        assert named or key in packages or "[" in key or origin_of(key, table) == origin


def test_provenance_drops_keys_of_a_replaced_node() -> None:
    table = compose(["experiment=minimum", "launcher.checkpoint=null"]).origins
    assert "launcher.checkpoint.keep" not in table
    assert str(origin_of("launcher.checkpoint.keep", table)) == "command line: launcher.checkpoint=null"


def test_origin_of_an_unset_key_is_that_of_its_node(source: Source) -> None:
    table = compose(["experiment=mine"], source).origins
    assert origin_of("interaction.agent.speed", table) == table["interaction.agent._target_"]
    assert origin_of("nothing.like.it", table) is None
    (detail,) = located([ErrorDetail("launcher.max_steps", "is wrong")], table)
    assert str(detail).endswith("mine.yaml:7")


def test_provenance_has_an_override_whose_interpolation_fails() -> None:
    table = compose(["experiment=cartpole_ppo", "seed=${nowhere}"]).origins
    assert str(table["seed"]) == "command line: seed=${nowhere}"


def test_provenance_has_the_line_of_each_key_also_of_aliases(tmp_path: Path) -> None:
    text = "a: &x\n  b: 1\nc:\n  <<: *x\n  d: [1, {e: 2}]\n"
    file = ConfigFile("config", "", Option("", text), Origin.of_file(tmp_path / "config.yaml"))
    table = provenance_of([file], [], Source())
    assert {key: origin.line for key, origin in table.items()} == {
        "a": 1, "a.b": 2, "c": 3, "c.b": 2, "c.d": 5, "c.d[0]": 5, "c.d[1]": 5, "c.d[1].e": 5
    }  # fmt: skip


def test_read_text_nodes_refuses_invalid_or_too_large_texts() -> None:
    laughs = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30))]
    for text, expected in (
        ("a: [1", "no valid YAML"),
        ("a: *nothing", "alias"),
        ("a: &x [*x]", "alias"),
        ("[" * (MOST_DEPTH + 1), "nests deeper"),
        ("[" * 100_000, "nests deeper"),
        ("a: " + "x" * MOST_BYTES, "larger than"),
        ("\n".join(laughs), "more"),
    ):
        assert expected in error_of(ConfigError, read_text_nodes, Path("config.yaml"), text), text[:100]
