"""From nodes to objects."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.config import AllowList, Builder, ConfigError
from tests.cases import error_of
from tests.config import parts

HERE = "tests.config.parts"
PART = f"{HERE}.Part"
BUILDER = Builder(AllowList((HERE,)))


def test_builder_builds_nested_nodes() -> None:
    node = {
        "_target_": f"{HERE}.Holder",
        "part": {
            "_target_": PART,
            "size": 2,
            "children": [{"_target_": PART, "size": 3}, {"a": 1}],
        },
        "factor": 0.5,
    }
    built = BUILDER.build(node, "root")
    assert isinstance(built, parts.Holder)
    assert built.part == parts.Part(2, children=[parts.Part(3), {"a": 1}])
    assert built.factor == 0.5


def test_builder_passes_positional_arguments() -> None:
    assert BUILDER.build({"_target_": f"{HERE}.total", "_args_": [1, 2], "third": 4}, "sum") == 7


def test_builder_makes_a_plain_functools_partial() -> None:
    built = BUILDER.build({"_target_": PART, "_partial_": True, "name": "later"}, "part")
    assert type(built) is functools.partial
    assert built.func is parts.Part
    assert built(size=1) == parts.Part(1, "later")


def test_builder_uses_given_objects_instead_of_nodes() -> None:
    marker = object()
    node = {"_target_": f"{HERE}.Holder", "part": {"_target_": PART, "size": -1}}
    assert BUILDER.build(node, "root", {"part": marker}).part is marker


def test_builder_finds_a_nested_class() -> None:
    assert isinstance(BUILDER.build({"_target_": f"{HERE}.Holder.Inner"}, "inner"), parts.Holder.Inner)


def test_builder_reports_errors_with_their_address() -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"_target_": PART, "siez": 1}, ["part.siez", "did you mean size?", "part.size: Part needs a value"]),
        ({"_target_": PART}, ["part.size", "needs a value for 'size'"]),
        (
            {"_target_": f"{HERE}.total", "_args_": [1, 2, 3, 4]},
            ["part._args_", "takes 3 arguments by position, not 4"],
        ),
        (
            {"_target_": f"{HERE}.Prat", "size": 1},
            ["part._target_", f"{HERE}.Prat does not exist", "did you mean Part?"],
        ),
        ({"_target_": "tests.config.prats.Part"}, ["part._target_", "a config may not name", "--allow tests"]),
        ({"_target_": 3}, ["part._target_", "no name of a class"]),
        ({"_target_": "${other}"}, ["part._target_", "no interpolation"]),
        ({"_target_": PART, "size": 1, "_partial_": "yes"}, ["part._partial_", "true or false"]),
        ({"_target_": PART, "size": 1, "_args_": 3}, ["part._args_", "expected a list"]),
        ({"_target_": PART, "size": 1, "_convert_": "all"}, ["part._convert_", "takes no argument"]),
        ({"_target_": PART, "size": -1}, ["part: size must not be negative", "while building"]),
        ({"_target_": PART, "size": "x"}, ["part: TypeError", "while building"]),
    ]
    reported = [
        (expected, error_of(ConfigError, functools.partial(BUILDER.build, node, "part"))) for node, expected in cases
    ]
    assert [each for each in reported if not all(words in each[1] for words in each[0])] == []


def test_builder_reports_all_wrong_arguments_at_once() -> None:
    tree = {
        "a": {"_target_": PART, "size": -1, "sise": 2},
        "b": [{"_target_": f"{HERE}.Holder", "part": {"_target_": PART}, "fator": 1}],
    }
    keys = [detail.key for detail in BUILDER.errors(tree, "root")]
    assert keys == ["root.a.sise", "root.b[0].fator", "root.b[0].part.size"]


def test_builder_does_not_import_a_module_that_is_not_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="may not name evil_module"):
        BUILDER.build({"_target_": "evil_module.run"}, "a")
    assert "evil_module" not in sys.modules


def test_builder_names_a_missing_module_that_a_target_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_camera.py").write_text("import pythonosc_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="needs the module pythonosc_that_is_not_there"):
        Builder(AllowList(("my_camera",))).build({"_target_": "my_camera.Camera"}, "a")


good_leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
bad_nodes = st.sampled_from(
    ["os.system", "builtins.eval", "subprocess.run", "torch.load", "numpy.load", "pathlib.Path", f"{HERE}.os.system"]
).map(lambda name: {"_target_": name, "_args_": ["x"]})


@st.composite
def trees_with_a_hidden_target(draw: st.DrawFn) -> Any:
    tree: Any = draw(bad_nodes)
    for _ in range(draw(st.integers(0, 5))):
        others = draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), good_leaves))
        wrap = draw(st.sampled_from(["mapping", "list", "argument", "positional"]))
        if wrap == "mapping":
            tree = {**others, "hidden": tree}
        elif wrap == "list":
            tree = [*others.values(), tree]
        elif wrap == "argument":
            tree = {"_target_": f"{HERE}.Holder", "part": tree}
        else:
            tree = {"_target_": f"{HERE}.Holder", "_args_": [tree]}
    return tree


@given(trees_with_a_hidden_target())
def test_builder_refuses_a_forbidden_target_at_any_depth(tree: Any) -> None:
    assert any("may not name" in str(detail) or "exist" in str(detail) for detail in BUILDER.errors(tree, "root"))
    with pytest.raises(ConfigError):
        BUILDER.build(tree, "root")
