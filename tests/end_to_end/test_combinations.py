"""Any choice beside any other: each pair of options runs somewhere, or is refused with what to choose instead."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pamiq_exp.config import AllowList, ConfigError, build_experiment, compose, compose_config, examine, validate
from pamiq_exp.config.checks.choices import RULES
from pamiq_exp.runtime import Summary, launch
from tests.conftest import options_of
from tests.end_to_end.choices import EXPERIMENTS, GRID, MODEL, PICTURES, STUDIED, quick_words, words_of
from tests.end_to_end.combinations import Model, Refusal, Row, covering_slice

ROWS = MODEL.rows()
SLICE = covering_slice(ROWS)
ANYWHERE = [name for name in EXPERIMENTS if name not in STUDIED]
"""Experiments that set no agent by an arm; which one a row is laid over changes from row to row."""


def composed(row: Row, folder: Path, *more: str) -> list[str]:
    """Return the command line of a row, over one experiment or another."""
    number = zlib.crc32(repr(row).encode())
    words = [*words_of(row, ANYWHERE[number % len(ANYWHERE)]), *more]
    if row.get("environment") == PICTURES:
        words.append(f"environment.path={folder / 'pictures'}")
        (folder / "pictures").mkdir()
        for index in range(6):
            pixels = np.random.default_rng(index).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / f"{index}.png")
    return words


def refused(words: list[str]) -> str:
    """Return why a command line is refused; empty if it is not."""
    try:
        return "\n".join(map(str, examine(compose(words), AllowList()).errors))
    except ConfigError as error:
        return str(error)


def run(words: list[str], folder: Path) -> Summary:
    """Check a command line as every run is checked, and run it."""
    words = [*words, *quick_words(compose_config(words))]
    try:
        validated = validate(compose(words), AllowList())
    except ConfigError as error:
        raise AssertionError(f"{' '.join(words)}\n{error}") from error
    experiment = build_experiment(validated)
    return launch(
        experiment.interaction, experiment.models, experiment.buffers, experiment.trainers, experiment.launch_config,
        folder=folder / "run", trackers=experiment.trackers,
    )  # fmt: skip


def named(row: Row) -> str:
    return " ".join(f"{group}={option}" for group, option in row.items())


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=() if row in SLICE else pytest.mark.slow, id=named(row)) for row in ROWS]
)
def test_choices_run_together(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = run(composed(row, tmp_path), tmp_path)
    assert summary["state"] == "finished"
    assert int(summary["steps"]) >= 96
    assert all(math.isfinite(value) for value in summary.values() if isinstance(value, float))
    if row["agent"] == "random":
        assert summary["training_steps"] == 0
    elif row["launcher"] != "realtime":  # there the turns may be over before the first batch
        assert int(summary["training_steps"]) > 0


def refusal_words(refusal: Refusal) -> list[str]:
    """The command line of two choices that do not go together, over what goes with each of them otherwise."""
    pays = "reward_streams" in (refusal.one[0], refusal.other[0])
    row: Row = {"agent": "curiosity", "environment": GRID if pays else "noise_world"}
    row |= dict((refusal.one, refusal.other))
    return words_of(row, "pamiq2024")


def sample_of(refusals: list[Refusal]) -> list[Refusal]:
    """One refusal for each kind of sentence: the others differ in the name of an option."""
    kinds = {(each.one[0], each.other[0], each.words): each for each in reversed(refusals)}
    return list(kinds.values())


FEW = sample_of(list(MODEL.refusals))


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(each, marks=() if each in FEW else pytest.mark.slow, id="=".join((*each.one, *each.other)))
        for each in MODEL.refusals
    ],
)
def test_combinations_that_are_incompatible_are_refused_with_a_hint(
    refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = refusal_words(refusal)
    if ("environment", PICTURES) in (refusal.one, refusal.other):
        words = composed({"agent": "curiosity"} | dict((refusal.one, refusal.other)), tmp_path)
    assert refusal.words in refused(words)


def test_examine_refuses_a_group_without_effect_and_names_another_choice() -> None:
    assert "agent=curiosity" in refused(["experiment=minimum", "encoder=icm"])
    assert "environment=noise_world" in refused(["experiment=cartpole_ppo", "world=clean"])
    assert "environment=gymnasium" in refused(["experiment=pamiq2024", "overlay=tv"])
    assert "reward=disagreement" in refused(["experiment=cartpole_ppo", "normalizer=none"])
    assert "agent=curiosity" in refused(["experiment=curiosity_study", "agent=random"])


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=minimum", "agent=ppo"],
        ["experiment=cartpole_ppo", "policy=ppo_recurrent"],
        ["experiment=cartpole_ppo", "agent=random", "environment=noise_world"],
        ["experiment=cartpole_ppo", "reward=rnd"],
        ["experiment=minigrid_curiosity", "environment=gymnasium", "environment.id=CartPole-v1"],
        ["experiment=curiosity_noise_world_imagination", "agent=pamiq2023", "environment=cartpole"],
        ["experiment=pamiq2023", "environment=cartpole", "agent=ppo", "launcher=pipelined"],
    ],
    ids=" ".join,
)
def test_experiments_accept_other_agents_policies_and_environments(words: list[str]) -> None:
    assert refused(words) == ""


def test_combinations_cover_every_allowed_pair() -> None:
    met = {frozenset(pair) for row in ROWS for pair in combinations(row.items(), 2)}
    missing = [sorted(pair) for pair in MODEL.pairs() if pair not in met]
    assert missing == []


def test_covering_slice_has_every_option() -> None:
    there = {choice for row in SLICE for choice in row.items()}
    assert there >= {(group, option) for group, options in MODEL.options.items() for option in options}


def test_combinations_are_the_same_each_time_without_refused_pairs() -> None:
    assert MODEL.rows() == ROWS
    for row in ROWS:
        assert not MODEL.refused & {frozenset(pair) for pair in combinations(row.items(), 2)}


def test_combinations_of_ten_binary_factors_need_few_rows() -> None:
    """Ten switches need six rows at least (Katona 1973); a greedy method stays near it."""
    switches = Model({f"switch_{index}": ("on", "off") for index in range(10)}, {})
    rows = switches.rows()
    assert 6 <= len(rows) <= 12
    counts = Counter(pair for row in rows for pair in combinations(sorted(row.items()), 2))
    assert len(counts) == 45 * 4


def test_rules_name_groups_and_options_that_exist() -> None:
    for rule in RULES:
        options = {rule.group: rule.options, rule.other: (rule.suggestion, *rule.right)}
        for group, names in options.items():
            for name in names:
                assert name in options_of(group), f"{group}={name}"


def test_examine_warns_of_a_free_running_environment_with_a_virtual_clock() -> None:
    words = ["experiment=minimum", "environment.free_running=true"]

    def warned(*more: str) -> str:
        return "\n".join(map(str, examine(compose([*words, *more]), AllowList()).warnings))

    for mode in ("lockstep", "pipelined"):
        assert f"{mode} counts turns by a virtual clock" in warned(f"launcher={mode}")
    assert "virtual clock" not in warned("launcher=realtime")
    assert "virtual clock" not in warned("launcher=sequential")


def test_examine_refuses_sequential_mode_with_several_waiting_environments() -> None:
    words = ["experiment=minimum", "launcher=sequential"]
    message = refused([*words, "environment.num_envs=2"])
    assert "launcher.mode: sequential lets the environment go on" in message
    assert "num_envs=1" in message
    assert refused([*words, "environment.num_envs=1"]) == ""
