"""Any YAML gives a list of errors and never a traceback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pamiq_exp.config import AllowList, Composed, ConfigError, Source, compose
from pamiq_exp.config.checks.static import TOP_LEVEL, static_errors
from tests.conftest import Command

ODD_TEXTS = st.sampled_from(
    ["${", "${}", "${a", "${a}", "${.a}", "${...}", "${a.b[0]}", "${oc.env:HOME}", "${oc.select:a}", "${derived_seed:}",
     "${add:1}", "${add:${a},${b}}", "???", "pamiq_exp.agents.RandomAgent", "os.system", "torch.nn.Linear", "", ".",
     "..", "a.b.", "_target_", "\x07", "${now:%Y}", "${hydra:run.dir}", "${product:${shared}}", "~", "1e3", "\\${a}"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["_target_", "_args_", "_partial_", "_replicate_", "_value_", "model", "buffer", "num_envs", "mode", "a", "b",
     "fields", "shape", "agent", "environment", "defaults", "count", "names"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats() | st.text(max_size=5) | ODD_TEXTS
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
CONFIGS = st.dictionaries(st.sampled_from([*TOP_LEVEL, "hydra", "defaults", "a"]), TREES, max_size=6)


def text_of(errors: list[Any]) -> str:
    return "\n".join(str(detail) for detail in errors)


@given(CONFIGS)
@example({"hydra": "${0}"})
@settings(max_examples=300)
def test_static_errors_handle_any_tree(tree: dict[str, Any]) -> None:
    try:
        config = OmegaConf.create(tree)
    except OmegaConfBaseException:
        return  # not even a config
    assert isinstance(config, DictConfig)
    try:
        errors = static_errors(Composed.of_config(config), AllowList())
    except ConfigError as error:
        errors = error.errors
    assert "Traceback" not in text_of(errors)


@given(st.one_of(CONFIGS.map(yaml.safe_dump), st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
@example(text="core: .nan\n")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_compose_handles_any_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "experiment").mkdir(exist_ok=True)
    path = tmp_path / "experiment" / "any.yaml"
    path.write_text(f"# @package _global_\n{text}", encoding="utf-8", errors="surrogateescape")
    try:
        static_errors(compose(["experiment=any"], Source(folder=str(tmp_path))), AllowList())
    except ConfigError:
        return


@given(TREES, st.sampled_from(["environment", "interaction", "models", "trainers", "launcher", "shared", "hydra"]))
@settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_check_handles_any_experiment(command: Command, tmp_path: Path, tree: Any, key: str) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"defaults": ["minimum", "_self_"], key: tree})
    (tmp_path / "conf" / "experiment" / "any.yaml").write_text(f"# @package _global_\n{text}")
    outcome = command("check", "--config-dir", "conf", "experiment=any")
    assert outcome.status in (0, 1)
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("words", [["=1"], ["a=${"], ["+"], ["~"], ["seed=[[[["], ["'"], ["a.b.c.d=1"], ["~seed"]])
def test_check_handles_any_command_line(command: Command, words: list[str]) -> None:
    outcome = command("check", "experiment=minimum", *words)
    assert outcome.status in (1, 2)
    assert "Traceback" not in outcome.err
