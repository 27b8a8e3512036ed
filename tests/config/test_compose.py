"""From the command line to one tree."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from pamiq_exp.config import (
    Composed,
    Composition,
    ConfigError,
    ErrorDetail,
    Source,
    compose,
    compose_again,
    compose_config,
    hydra_internals,
    parse_overrides,
    plain_file,
    untried_choices,
    variants,
)
from pamiq_exp.config.words import LONGEST_WORDS, MOST_WORDS, sweep_jobs
from tests.cases import error_of


def errors(*overrides: str, source: Source = Source()) -> str:
    with pytest.raises(ConfigError) as error:
        compose_config(overrides, source)
    return str(error.value)


def test_compose_config_applies_overrides_over_the_experiment() -> None:
    config = compose_config(["experiment=minimum", "launcher.max_steps=7", "seed=3"])
    assert (config.experiment_name, config.launcher.max_steps, config.seed) == ("minimum", 7, 3)


@pytest.mark.parametrize("override", ["launcher=lockstep", "launcher.mode=lockstep"])
def test_compose_config_gives_the_same_launcher_by_group_and_by_mode(override: str) -> None:
    config = compose_config(["experiment=minimum", override])
    assert config.launcher.mode == "lockstep"
    assert config.launcher == compose_config(["experiment=minimum", "launcher=lockstep"]).launcher


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["experiment=minimun"], "experiment: there is no experiment 'minimun'\n    did you mean minimum?"),
        (["experiment=minimum", "launcher=lockstp"], "launcher: there is no launcher 'lockstp'\n    did you mean lock"),
        (
            ["experiment=minimum", "launcher.max_step=3"],
            "launcher.max_step: there is no such key\n    did you mean max",
        ),
        (["experiment=minimum", "sede=3"], "sede: there is no such key or group\n    did you mean seed"),
        (["experiment=minimum", "a.b.c=3"], "a.b.c: there is no such key"),
        (["experiment=minimum", "seed=[1"], "seed=[1: cannot be read"),
        (["experiment=minimum", "seed=1,2"], "--multirun"),
        (["experiment=minimum", "world=food"], "world: "),
    ],
)
def test_compose_config_reports_unknown_names_with_suggestions(overrides: list[str], expected: str) -> None:
    assert expected in errors(*overrides)


def test_compose_config_reports_all_unknown_keys_at_once() -> None:
    text = errors("experiment=minimum", "sede=1", "launcher.max_step=2", "paths.output=x")
    assert all(f"{key}: there is no such key" in text for key in ("sede", "launcher.max_step", "paths.output"))


def test_compose_config_adds_experiments_of_a_folder_and_keeps_shipped_ones(tmp_path: Path) -> None:
    folder = tmp_path / "my configs"
    (folder / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - minimum\nexperiment_name: {}\n"
    (folder / "experiment" / "mine.yaml").write_text(text.format("mine"))
    (folder / "experiment" / "minimum.yaml").write_text(text.format("stolen"))
    source = Source(folder=str(folder))
    assert compose_config(["experiment=mine"], source).experiment_name == "mine"
    assert compose_config(["experiment=minimum"], source).experiment_name == "minimum"
    assert "did you mean mine?" in errors("experiment=mien", source=source)


def test_compose_config_reports_a_missing_folder(tmp_path: Path) -> None:
    assert "does not exist" in errors("experiment=minimum", source=Source(folder=str(tmp_path / "nowhere")))


def test_compose_config_reports_invalid_yaml(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "broken.yaml").write_text("a: [1\nb: 2\n")
    text = errors("experiment=broken", source=Source(folder=str(tmp_path)))
    assert "no valid YAML" in text
    assert "broken.yaml" in text


def test_variants_include_each_choice_once() -> None:
    lists = variants(["experiment=minimum", "seed=0,1,x", "launcher=realtime,lockstep", "environment.num_envs=1,2"])
    assert lists[0] == ["experiment=minimum", "seed=0", "launcher=realtime", "environment.num_envs=1"]
    assert sorted(lists[1:]) == [
        ["experiment=minimum", "seed=0", "launcher=lockstep", "environment.num_envs=1"],
        ["experiment=minimum", "seed=0", "launcher=realtime", "environment.num_envs=2"],
        ["experiment=minimum", "seed=x", "launcher=realtime", "environment.num_envs=1"],
    ]


def test_variants_of_a_huge_sweep_are_limited() -> None:
    assert len(variants(["experiment=minimum", "seed=range(100000)"])) == 1
    words = ["experiment=minimum", "launcher.max_steps=range(1,50)", "environment.num_envs=range(1,6)"]
    tried = {word for words in variants(words) for word in words}
    untried = untried_choices(words)
    assert len(variants(words)) == 21
    assert {f"environment.num_envs={num_envs}" for num_envs in range(1, 6)} <= tried
    assert untried == [f"launcher.max_steps={steps}" for steps in range(18, 50)]


def test_compose_and_sweep_jobs_refuse_a_huge_or_endless_grid() -> None:
    huge = ("range(1000000000)", "shuffle(range(100000000))", "sort(range(100000000))")
    for values in (*huge, "range(0,1,1e-9)", "range(0,1,0)"):
        for call in (variants, sweep_jobs, compose):
            message = error_of(ConfigError, partial(call, ["experiment=minimum", f"seed={values}"]))
            assert "more than 100,000 jobs" in message, values


def test_parse_overrides_limits_words_and_characters() -> None:
    assert len(parse_overrides([f"+a{n}=1" for n in range(MOST_WORDS)])) == MOST_WORDS
    for words in ([f"+a{n}=1" for n in range(MOST_WORDS + 1)], ["a=" + "[" * LONGEST_WORDS]):
        with pytest.raises(ConfigError, match="at most 1,000 words with 50,000 characters"):
            parse_overrides(words)


def test_config_error_message_has_the_first_hundred_errors() -> None:
    text = str(ConfigError([ErrorDetail(f"key{n}", "x" * 5000) for n in range(150)]))
    assert text.count("\n") == 100
    assert text.endswith("and 50 more errors")
    assert max(map(len, text.splitlines())) == 1000


def test_variants_expand_a_glob_over_a_group() -> None:
    lists = variants(["experiment=minimum", "launcher=glob(*)"])
    assert sorted(words[1] for words in lists) == [
        f"launcher={each}" for each in ("lockstep", "pipelined", "realtime", "sequential")
    ]
    with pytest.raises(ConfigError, match="matches nothing"):
        variants(["experiment=minimum", "launcher=glob(x*)"])


def test_compose_again_sets_values_of_a_kept_config() -> None:
    kept = Composition("config", (), {"config": "launcher: {max_steps: 10, sizes: [1, 2]}\nseed: 1\n"})
    tree = compose_again(kept, ["launcher.max_steps=20", "+launcher.max_seconds=3", "launcher.sizes.0=4"]).tree
    assert tree == {"launcher": {"max_steps": 20, "max_seconds": 3, "sizes": [4, 2]}, "seed": 1}
    with pytest.raises(ConfigError, match="did you mean max_steps"):
        compose_again(kept, ["launcher.max_step=20"])
    for words in ("launcher=lockstep", "seed=1,2"):
        with pytest.raises(ConfigError):
            compose_again(kept, [words])


def test_plain_file_reports_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        plain_file(tmp_path / "config.yaml")


def test_plain_file_refuses_hydra_settings(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 1\nhydra: {callbacks: {evil: {_target_: os.system}}}\n")
    with pytest.raises(ConfigError, match="may not set up Hydra"):
        plain_file(tmp_path / "config.yaml")


def test_plain_file_limits_nesting(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("[" * 10_000)
    with pytest.raises(ConfigError, match="nests deeper"):
        plain_file(tmp_path / "config.yaml")


def test_sweep_jobs_may_reach_the_limit_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pamiq_exp.config.words.MOST_JOBS", 6)
    assert len(sweep_jobs(["seed=range(3)", "launcher.max_steps=1,2"])) == 6
    for words in (["seed=range(7)"], ["seed=range(4)", "launcher.max_steps=1,2"]):
        with pytest.raises(ConfigError, match="more than 6 jobs"):
            sweep_jobs(words)


def test_composed_config_names_its_choices_and_what_chose_them() -> None:
    chosen = compose(["experiment=pamiq2024", "agent=curiosity", "reward=rnd"]).chosen.split(", ")
    assert "environment noise_world <- experiment/pamiq2024.yaml" in chosen
    assert "agent curiosity <- command line" in chosen
    assert "encoder random_features <- agent/curiosity.yaml" in chosen
    assert "dynamics none <- reward/rnd.yaml" in chosen
    assert not any(each.startswith(("launcher ", "hydra")) for each in chosen)


def test_composed_of_config_turns_tuples_into_lists() -> None:
    """Every version of OmegaConf: 2.4 keeps tuples as they are, and does not let them change."""
    config = OmegaConf.create({"shared": {"sizes": (1, (2, 3)), "parts": [{"name": ("a",)}]}})
    assert Composed.of_config(config).tree == {"shared": {"sizes": [1, [2, 3]], "parts": [{"name": ["a"]}]}}


def test_hydra_internals_accept_a_hydra_without_interpolation_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("hydra._internal.defaults_list._create_interpolation_map", raising=False)  # as in 1.4
    hydra_internals._skip_needless_maps()


def test_hydra_internals_keep_a_yaml_loader_that_is_already_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick(yaml.CSafeLoader):  # as in OmegaConf 2.4
        pass

    monkeypatch.setattr(hydra_internals, "get_yaml_loader", lambda: Quick)
    assert hydra_internals.yaml_loader.__wrapped__() is Quick
