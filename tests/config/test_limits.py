"""How much a config may ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pamiq_exp.buffers import RingBuffer
from pamiq_exp.config import AllowList, ConfigError, Source, compose, examine
from pamiq_exp.config.checks.limits import BY_ADDRESS, BY_NAME, MOST_ENVS, MOST_THREADS, limit_errors
from pamiq_exp.config.yaml_files import LONGEST_EXPRESSION, MOST_EXPRESSIONS, MOST_NESTED, read_text_nodes
from tests.conftest import Command


def nested(key: str, value: object) -> dict[str, Any]:
    name, _, rest = key.partition(".")
    return {name: nested(rest, value) if rest else value}


def test_limit_errors_allow_the_maximum_and_refuse_more() -> None:
    limits = {f"trainers.any.{name}": most for name, (most, _) in BY_NAME.items()}
    for key, most in (limits | {key: most for key, (most, _) in BY_ADDRESS.items()}).items():
        assert list(limit_errors(nested(key, most))) == []
        (detail,) = limit_errors(nested(key, most + 1))
        assert detail.key == key
        assert f"at most {most:,}" in detail.message


@pytest.mark.parametrize(("vectorization", "most"), [("async", MOST_THREADS), ("sync", MOST_ENVS)])
def test_limit_errors_count_async_environments_as_processes(vectorization: str, most: int) -> None:
    node = {"_target_": "pamiq_exp.environments.gymnasium_environment", "vectorization": vectorization}
    assert list(limit_errors({"environment": node | {"num_envs": most}})) == []
    assert "environment.num_envs" in {each.key for each in limit_errors({"environment": node | {"num_envs": most + 1}})}


def test_limits_hold_for_arguments_by_position(command: Command) -> None:
    words = ["check", "experiment=minimum", "~environment.num_envs", "~environment.id", "+environment._args_"]
    assert command(*words[:-1], f"{words[-1]}=[CartPole-v1,2]").status == 0
    outcome = command(*words[:-1], f"{words[-1]}=[CartPole-v1,{MOST_ENVS + 1}]")
    assert outcome.status == 1
    assert f"_args_[1]: asks for {MOST_ENVS + 1:,} environments" in outcome.err


@pytest.mark.parametrize(("missing", "refused"), [(0, False), (1, True)])
def test_examine_refuses_buffers_larger_than_physical_memory(
    missing: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = RingBuffer(1000, 1, {"x": {"shape": [], "dtype": "float32"}})
    monkeypatch.setattr("pamiq_exp.config.dry_run.physical_memory", lambda: buffer.nbytes - missing)
    fields = "{x: {shape: [], dtype: float32}}"
    node = f"{{_target_: pamiq_exp.buffers.RingBuffer, capacity: 1000, num_envs: 1, fields: {fields}}}"
    errors = examine(compose(["experiment=minimum", f"+buffers.own={node}"]), AllowList()).errors
    assert [each.key for each in errors if "this machine has" in each.message] == ["buffers.own"] * refused


def test_limit_errors_ignore_zero_and_values_that_are_not_numbers() -> None:
    for value in (None, True, "many", "${shared.x}", 0):
        assert list(limit_errors({"environment": {"num_envs": value, "threads": [value]}})) == [], value


@pytest.mark.parametrize(
    "words", [["environment.num_envs=1000000000"], ["environment.num_envs=${shared.many}", "+shared.many=1000000000"]]
)
def test_check_refuses_a_billion_environments(command: Command, words: list[str]) -> None:
    outcome = command("check", "experiment=minimum", *words)
    assert outcome.status == 1
    assert "environment.num_envs: asks for 1,000,000,000 environments; at most 100,000" in outcome.err


def test_check_prints_sizes_threads_and_the_end_of_a_run(command: Command) -> None:
    outcome = command("check", "experiment=minimum", "launcher.max_steps=5000", "launcher.max_seconds=60")
    assert outcome.status == 0
    assert "at most 1,000,000,000" in outcome.out
    assert "threads     1 for acting and 1 for training" in outcome.out
    assert "ends        after 5,000 steps or after 60 seconds" in outcome.out


@pytest.mark.parametrize(
    ("most", "text"),
    [
        ("characters in one text", lambda extra: "a: ${b}" + "x" * (LONGEST_EXPRESSION - 4 + extra)),
        ("characters in one text", lambda extra: _lines(MOST_EXPRESSIONS // 100, 100) + "\nz: ${b}" * extra),
        ("in one another", lambda extra: "a: " + "${" * (MOST_NESTED + extra) + "b" + "}" * (MOST_NESTED + extra)),
    ],
)
def test_read_text_nodes_limits_texts_with_interpolations(most: str, text: Callable[[int], str]) -> None:
    assert read_text_nodes(Path("any.yaml"), text(0)) is not None
    with pytest.raises(ConfigError, match=most):
        read_text_nodes(Path("any.yaml"), text(1))


def _lines(count: int, length: int) -> str:
    return "\n".join(f"k{index}: ${{b}}" + "x" * (length - 4) for index in range(count))


@pytest.mark.parametrize(("files", "refused"), [(8, False), (11, True)])
def test_compose_limits_how_often_files_choose_one_another(tmp_path: Path, files: int, refused: bool) -> None:
    (tmp_path / "experiment").mkdir()
    for index in range(files):
        chosen = f"defaults: [f{index + 1}@a, f{index + 1}@b]" if index < files - 1 else "x: 1"
        (tmp_path / "experiment" / f"f{index}.yaml").write_text(chosen)
    with pytest.raises(ConfigError, match="choose one another") if refused else nullcontext():
        compose(["experiment=f0"], Source(folder=str(tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    ["shared:\n" + "".join(f"  k{i}: {'x' * 80}\n" for i in range(9900)), "#" * 990_000],
    ids=["values", "a comment"],
)
def test_check_of_a_full_file_takes_ten_seconds_and_a_gigabyte_at_most(tmp_path: Path, content: str) -> None:
    (tmp_path / "experiment").mkdir()
    text = f"# @package _global_\ndefaults: [minimum, _self_]\n{content}\n"
    (tmp_path / "experiment" / "full.yaml").write_text(text)
    command = [sys.executable, "-m", "pamiq_exp", "check", "experiment=full", "--config-dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    assert used.ru_utime + used.ru_stime < 10, "seconds of one core"
    assert used.ru_maxrss < 1_000_000, "kilobytes"
