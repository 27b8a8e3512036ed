"""Combinations of reward streams that are refused by `check`, and those that one override gives."""

from __future__ import annotations

import pytest

from tests.conftest import Command

REFUSED = {
    ("cartpole_ppo", "reward_streams=both"): "this agent has none of its own: choose another reward (reward=rnd)",
    ("cartpole_ppo", "reward=rle", "reward_streams=two"): "choose reward_streams=single",
    ("curiosity_noise_world", "reward_streams=both"): "NoiseWorld pays none: leave reward_streams out",
    ("cartpole_imagination", "reward=rnd", "reward_streams=both"): (
        "reward_streams=two does not go with policy=imagination_cartpole: each stream has a value, which PPO learns"
    ),
    ("cartpole_dqn", "reward=rnd", "reward_streams=both"): "reward_streams=two does not go with policy=dqn_cartpole",
    ("cartpole_dreamer", "reward=rnd", "reward_streams=two"): "does not go with policy=dreamer_small",
}


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_check_refuses_impossible_reward_streams_with_a_hint(words: tuple[str, ...], command: Command) -> None:
    experiment, *others = words
    outcome = command("check", f"experiment={experiment}", *others)
    assert outcome.status == 1
    assert REFUSED[words] in outcome.err
    assert "takes no argument" not in outcome.err


@pytest.mark.parametrize("policy", ["ppo", "ppo_recurrent"])
def test_reward_streams_both_gives_two_value_streams_only_with_rnd(policy: str, command: Command) -> None:
    weights = ("reward_streams=both", "extrinsic_weight=1", "intrinsic_weight=0.5")
    for reward, streams in (("rnd", 2), ("prediction_error", 1)):
        extra = () if reward == "rnd" else ("encoder=plain_features", "dynamics=mlp_cartpole", "buffers=replay")
        words = ("experiment=cartpole_ppo", f"policy={policy}", f"reward={reward}", *weights, *extra)
        assert command("check", *words).status == 0
        config = command(*words, "--cfg", "job").out
        assert ("value_streams" in config) == (streams == 2)
