"""Interpolations: resolved once, within limits, and trusted as much as the least trusted of their parts."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pamiq_exp.config import Composed, ConfigError
from pamiq_exp.config.checks.expressions import LONGEST_DECODED, Resolved
from pamiq_exp.config.checks.interpolations import resolve, value_at
from pamiq_exp.config.checks.limits import LONGEST_WAY, MOST_BITS, MOST_CHARACTERS, MOST_VALUES
from pamiq_exp.config.checks.references import unread_keys
from pamiq_exp.config.checks.untrusted_values import value_errors
from pamiq_exp.config.errors import Kind, Origin
from pamiq_exp.config.hydra_loader import ConfigFile
from pamiq_exp.option_files import Option
from tests.cases import error_of

SPACES = "${spaces.observation.image.shape}"


def written(text: str, kind: Kind = "own") -> Composed:
    """A config of one file."""
    from omegaconf import OmegaConf

    file = ConfigFile("experiment/any", "", Option("", text), Origin("any.yaml", kind=kind))
    return Composed(OmegaConf.create(), yaml.safe_load(text), files=(file,))


def resolved(tree: Any) -> Resolved:
    return written(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=10**6)).resolved


def refused(tree: Any) -> list[str]:
    found = resolved(tree)
    return [str(detail) for detail in (*found.errors, *value_errors(found))]


def test_interpolations_are_those_of_omegaconf() -> None:
    expected = {
        "${a}": 1,
        "x${a}y${.a}": "x1y1",
        "${list[1]}": "/b",
        "${list.0}": "a",
        "${node}": {"x": 1, "y": [1, 2]},
        "${length:${node.y}}": 2,
        "${oc.select:nowhere,7}": 7,
        "${oc.select:a,7}": 1,
        "${oc.decode:'[1, two]'}": [1, "two"],
        "${oc.dict.keys:${node}}": ["x", "y"],
        "${through.y.1}": 2,
        "${${name}}": 1,
    }
    tree = {"a": 1, "list": ["a", "/b"], "node": {"x": "${a}", "y": [1, 2]}, "through": "${node}", "name": "a"}
    found = {expression: resolve({**tree, "answer": expression}) for expression in expected}
    assert {expression: each.errors for expression, each in found.items() if each.errors} == {}
    assert {expression: each.tree["answer"] for expression, each in found.items()} == expected
    assert resolve({**tree, "answer": "${oc.dict.values:node}"}).errors


def test_resolve_lists_values_that_wait_for_the_spaces() -> None:
    tree = {"a": SPACES, "b": "${a}", "c": "${length:${a}}", "d": "x", "spaces": "???"}
    found = resolve(tree)
    assert not found.errors
    assert found.waiting == {"a", "b", "c"}
    now = resolve({**tree, "spaces": {"observation": {"image": {"shape": [3, 2]}}}})
    assert now.tree["b"] == [3, 2]
    assert (now.tree["c"], now.waiting) == (2, set())


DOUBLING = {
    "texts": ("xx", "${x0}${x0}"),
    "numbers": (12345, "${multiply:${x0},${x0}}"),
    "lists": ([1, 2], ["${x0}", "${x0}"]),
    "mappings": ({"a": 1}, {"a": "${x0}", "b": "${x0}"}),
}


@pytest.mark.parametrize("kind", DOUBLING)
def test_resolve_refuses_exponential_growth_quickly(kind: str) -> None:
    first, then = DOUBLING[kind]
    tree: dict[str, Any] = {"x0": first}
    for index in range(1, 31):
        tree[f"x{index}"] = yaml.safe_load(yaml.safe_dump(then).replace("x0", f"x{index - 1}"))
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        raise ConfigError(resolve(tree).errors)
    assert "more than" in str(error.value) or "binary digits" in str(error.value)
    assert time.process_time() - start < 1.0


def test_resolve_refuses_many_copies_of_a_long_text() -> None:
    tree = {"x": "y" * 100_000, **{f"k{index}": f"${{x}}{index}" for index in range(100)}}
    with pytest.raises(ConfigError, match="comes to more than"):
        resolve(tree)


def test_resolve_accepts_values_exactly_up_to_its_limits() -> None:
    assert resolve({"a": [0] * (MOST_VALUES - 2)}).tree
    with pytest.raises(ConfigError, match="comes to more than"):
        resolve({"a": [0] * MOST_VALUES})
    assert resolve({"a": "x" * (MOST_CHARACTERS - 1)}).tree
    with pytest.raises(ConfigError, match="comes to more than"):
        resolve({"a": "x" * MOST_CHARACTERS})
    assert not resolve({"a": 2**MOST_BITS - 1}).errors
    assert resolve({"a": 2**MOST_BITS}).errors
    chain = {f"a{index}": f"${{a{index + 1}}}" for index in range(LONGEST_WAY)}
    assert not resolve({**chain, f"a{LONGEST_WAY}": 1}).errors
    longer = resolve({**chain, f"a{LONGEST_WAY}": f"${{a{LONGEST_WAY + 1}}}", f"a{LONGEST_WAY + 1}": 1})
    assert "leads through more than" in str(longer.errors)


def test_unread_keys_are_found_quickly_among_many_references() -> None:
    shared: dict[str, Any] = {f"key_{index}": index for index in range(9000)}
    tree = {"shared": shared, "environment": {f"k{index}": f"${{shared.key_{index}}}" for index in range(4500)}}
    start = time.process_time()
    errors = list(unread_keys(resolve(tree)))
    assert len(errors) == 4500
    assert time.process_time() - start < 3.0


def test_resolve_gives_a_value_the_least_trusted_origin_of_its_parts() -> None:
    kinds: dict[str, Kind] = {"a": "typed", "b": "shipped", "c": "own", "d": "foreign"}
    tree = {"a": 1, "b": "${a}", "c": "x${a}", "d": 4, "e": "${b}${c}", "f": {"x": "${add:${a},${d}}"}, "g": "${f}"}
    found = resolve(tree, lambda key: Origin("file", kind=kinds.get(key, "typed")))
    assert {key: origin.kind for key, origin in found.origins.items()} == {
        "a": "typed", "b": "shipped", "c": "own", "d": "foreign", "e": "own", "f.x": "foreign", "g.x": "foreign"
    }  # fmt: skip


def test_resolve_trusts_a_referenced_node_no_more_than_its_reference() -> None:
    tree = {"shared": {"node": {"path": "/data", "n": [1]}}, "environment": "${shared.node}"}
    found = resolve(tree, lambda key: Origin("file", kind="own" if key.startswith("environment") else "typed"))
    assert {found.origins[key].kind for key in ("environment.path", "environment.n[0]")} == {"own"}
    assert found.origins["shared.node.path"].kind == "typed"


def test_resolve_trusts_environment_variables_and_times_only_if_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "/etc/passwd")
    for text in ("${oc.env:SLURM_JOB_ID}", "${now:/etc/passwd}"):
        found = resolve({"a": text}, lambda _: Origin("file", kind="shipped"))
        assert found.tree["a"] == "/etc/passwd"
        assert not found.origins["a"].is_ours
        typed = resolve({"a": text}, lambda _: Origin("command line", text="a", kind="typed"))
        assert typed.origins["a"].is_ours


def test_resolve_never_evaluates_a_text_twice() -> None:
    for text in ("${oc.decode:'${a}'}", "${oc.decode:'${oc.env:HOME}'}", "\\${a}"):
        tree = {"a": "\\${oc.env:HOME}", "b": text}
        assert resolve({**tree, "c": "${b}"}).errors, text
        assert error_of(ConfigError, partial(value_at, tree, "b")), text


FORBIDDEN = {
    "path": ["/etc/passwd", "~/.ssh", "../up", "a/../../b", "http://evil.example/x", "C:\\x", "//evil/share"],
    "host": ["evil.example", "10.0.0.1", "evil.example:80"],
    "anything": ["/etc", "ftp://evil.example", "user@evil.example:x", "a\n/../b/..", "/" + "x" * 2000],
    "source": ["async:http://127.0.0.2:8077/x", "concat:/etc/passwd", "subfile,,start,0,end,9,,:/etc/passwd"],
}


def _split(value: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(value) + 1) for cut in cuts} | {0, len(value)})
    return [value[start:end] for start, end in pairwise(places)] or [value]


@st.composite
def hidden_values(draw: st.DrawFn) -> tuple[str, Any, dict[str, Any]]:
    """An argument, its value and other values of the config, which resolve to a forbidden value."""
    name = draw(st.sampled_from(sorted(FORBIDDEN)))
    value = draw(st.sampled_from(FORBIDDEN[name]))
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    simple = "\n" not in value and "\\" not in value and len(value) < 100
    ways = ["plain", "split", "node", "list", "chain", "repeated"]
    ways += ["default", "decode", "time", "environment"] if simple else []
    way = draw(st.sampled_from(ways))
    parts = _split(value, draw(st.lists(st.integers(0, 50), max_size=3)))
    if way == "split":
        return name, "".join(f"${{shared.p{at}}}" for at in range(len(parts))), dict(enumerate_names(parts))
    if way == "node":
        return "options", "${shared.node}", {"node": {name: value}}
    if way == "list":
        return name, ["${shared.all[1]}"], {"all": ["x", value]}
    if way == "chain":
        return name, "${shared.a}", {"a": "${.b}", "b": "${shared.c.d}", "c": {"d": value}}
    if way == "repeated":
        return name, "${shared.${shared.which}}", {"which": "one", "one": "${shared.two}", "two": value}
    if way == "default":
        return name, f"${{oc.select:shared.nothing,{quoted}}}", {}
    if way == "decode":
        return name, f"${{oc.decode:{quoted}}}", {}
    if way == "time":
        return name, f"${{now:{quoted}}}", {}
    if way == "environment":
        return name, f"${{oc.env:SLURM_JOB_ID,{quoted}}}", {}
    return name, value, {}


def enumerate_names(parts: list[str]) -> list[tuple[str, str]]:
    return [(f"p{at}", part) for at, part in enumerate(parts)]


@given(hidden_values())
def test_value_errors_refuse_a_forbidden_value_however_it_is_composed(hidden: tuple[str, Any, dict[str, Any]]) -> None:
    name, value, shared = hidden
    messages = refused({"shared": shared, "environment": {"kwargs": {name: value}}})
    assert any("environment.kwargs" in each for each in messages), (name, value, shared)


@given(hidden_values())
def test_value_errors_accept_any_value_of_a_trusted_file(hidden: tuple[str, Any, dict[str, Any]]) -> None:
    name, value, shared = hidden
    if isinstance(value, str) and ("now:" in value or "oc.env:" in value):
        return  # values of the machine are trusted only where the user typed the interpolation
    text = yaml.safe_dump({"shared": shared, "environment": {"kwargs": {name: value}}}, allow_unicode=True)
    found = written(text, "trusted").resolved
    assert list(value_errors(found)) == []


def test_value_errors_accept_ordinary_values() -> None:
    values = ("image", "pictures/mine", "a.b", "x: y", "CartPole-v1", "3", "localhost", "{} of {}", "1e-3", "a..b")
    for value in values:
        assert refused({"environment": {"kwargs": {"name": value, "path": value.replace(":", "")}}}) == [], value


def test_value_errors_cover_keys_and_positional_arguments() -> None:
    assert refused({"environment": {"kwargs": {"/etc/passwd": 1}}})
    tracker = {"_target_": "pamiq_exp.tracking.WandbTracker", "_args_": ["online"]}
    assert "by position" in str(refused({"tracking": {"w": tracker}}))
    assert "put W&B online" in str(
        refused({"shared": {"w": {**tracker, "_args_": [], "mode": "online"}}, "tracking": {"w": "${shared.w}"}})
    )


def test_resolve_decodes_a_text_exactly_up_to_the_limit() -> None:
    longest = "x" * LONGEST_DECODED
    assert resolve({"text": longest, "a": "${oc.decode:${text}}"}).tree["a"] == longest
    (error,) = resolve({"text": longest + "x", "a": "${oc.decode:${text}}"}).errors
    assert "at most 4,000 characters" in error.message


def test_resolve_counts_decoded_text_twenty_times() -> None:
    tree = {"text": "x" * LONGEST_DECODED} | {f"a{n}": "${oc.decode:${text}}" for n in range(26)}
    with pytest.raises(ConfigError, match="2,000,000 characters"):
        resolve(tree)
