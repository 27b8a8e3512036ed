"""Choices that do not go together, and what to choose instead: known by their names, before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from pamiq_exp.config.errors import ErrorDetail
from pamiq_exp.option_files import config_folder, find_file

NOTHING = "none"
"""What a group counts as that is left out, or that no choice brings along."""


@dataclass(frozen=True)
class Rule:
    """Some options of a group need an option of another group.

    Attributes:
        group: The group that needs something.
        options: Its options that do; empty for all but `none`.
        other: The group that it needs something of.
        why: What for: "it predicts latent vectors".
        suggestion: An option of the other group that is right.
        right: All options that are right; empty for all but `none`.
    """

    group: str
    options: tuple[str, ...]
    other: str
    why: str
    suggestion: str
    right: tuple[str, ...] = ()

    def refuses(self, option: str, other: str) -> bool:
        """Whether an option of the group does not go with one of the other group."""
        concerned = option in self.options if self.options else option != NOTHING
        return concerned and (other not in self.right if self.right else other == NOTHING)


IMAGINATION = ("imagination", "imagination_cartpole", "imagination_curious")
SINGLE_FUTURE = ("mixture", "mlp", "mlp_cartpole", "normal", "penalized", "recurrent")
SEQUENCES = ("replay",)
FORWARD_REWARDS = (
    "curiosity_critic", "delta_minimize", "gamma_progress", "icm", "learning_progress", "open_loop_error",
    "prediction_error", "random_features",
)  # fmt: skip
TWO_STREAMS = ("rnd",)
"""Rewards whose papers give them a stream of their own: what reward_streams=both is with them."""
PPO = ("ppo", "ppo_cartpole", "ppo_legacy", "ppo_minigrid", "ppo_recurrent")
WITH_POLICY = (
    "curiosity", "dqn_cartpole", "dreamer_small", "hierarchy", "imagination_cartpole", "noveld_minigrid",
    "pamiq2023", "pamiq2024", "pamiq2024_imagination", "ppo", "ppo_cartpole", "ppo_minigrid", "sac", "sac_pixels",
)  # fmt: skip
"""Agents that act by a policy which learns."""
REPLAYED = "it learns from a replay buffer"
IN_SEQUENCE = "it learns from turns that follow each other"
LATENT = "it reads the encoder's latent vectors"

RULES = (
    Rule("policy_input", ("latent",), "encoder", LATENT, "random_features"),
    Rule("policy", IMAGINATION, "encoder", LATENT, "random_features"),
    Rule(
        "policy", IMAGINATION, "dynamics", "it imagines with the forward dynamics, one future at a time", "mlp",
        SINGLE_FUTURE,
    ),
    Rule("policy", IMAGINATION, "buffers", IN_SEQUENCE, "replay", SEQUENCES),
    Rule("dynamics", (), "encoder", LATENT, "random_features"),
    Rule("dynamics", ("pixels",), "encoder", "it predicts pictures", "pixels", ("pixels",)),
    Rule("dynamics", (), "buffers", IN_SEQUENCE, "replay", SEQUENCES),
    Rule("decoder", (), "encoder", LATENT, "random_features"),
    Rule("decoder", (), "buffers", REPLAYED, "replay"),
    Rule("encoder", ("icm",), "buffers", IN_SEQUENCE, "replay", SEQUENCES),
    Rule(
        "encoder", ("ijepa", "ijepa_or_random_features", "image_vae", "plain_features", "random_features"),
        "buffers", REPLAYED, "replay",
    ),
    Rule(
        "reward", ("gamma_progress",), "dynamics", "it compares one model with its slow copy", "mlp",
        (*SINGLE_FUTURE, "pixels"),
    ),
    Rule("reward", FORWARD_REWARDS, "dynamics", "it is made of the errors of the forward dynamics", "mlp"),
    Rule(
        "reward", ("disagreement", "gaussian_ensemble"), "dynamics", "it is how several models differ", "ensemble",
        ("ensemble",),
    ),
    Rule("reward", ("ama",), "dynamics", "it subtracts the noise that is predicted", "penalized", ("penalized",)),
    Rule("reward", ("mask_oracle",), "encoder", "it compares pictures", "pixels", ("pixels",)),
    Rule("reward", ("mask_oracle",), "dynamics", "it compares pictures", "pixels", ("pixels",)),
    Rule("reward", ("icm", "e3b", "ngu"), "encoder", "its features are those of inverse dynamics", "icm", ("icm",)),
    Rule("reward", ("random_features",), "encoder", "its features are random", "random_features", ("random_features",)),
    Rule("reward", ("reconstruction_error",), "encoder", "it is a VAE's", "image_vae", ("image_vae",)),
    Rule("reward", ("hash_count", "levels", "hierarchical", "meta"), "encoder", LATENT, "random_features"),
    Rule("reward", ("levels", "hierarchical", "meta"), "buffers", IN_SEQUENCE, "replay", SEQUENCES),
    Rule(
        "reward", ("rnd", "noveld", "ngu", "rle", "learning_progress", "curiosity_critic"), "buffers", REPLAYED,
        "replay",
    ),
    Rule(
        "reward", ("rle",), "policy", "its features are the layers of a policy without memory", "ppo",
        ("ppo", "ppo_legacy", "ppo_cartpole", "ppo_minigrid"),
    ),
    Rule("metrics", ("plasticity",), "agent", "it measures the policy", "ppo", WITH_POLICY),
    Rule("reward_streams", ("two",), "policy", "each stream has a value, which PPO learns", "ppo", PPO),
    Rule(
        "reward", ("rle",), "policy_input", "its features are those of a policy that reads observations", "observation",
        ("observation",),
    ),
)  # fmt: skip


def choice_errors(hydra: object) -> list[ErrorDetail]:
    """Return the choices that do not go together, from Hydra's own node; options of the user's own are not judged."""
    runtime = hydra.get("runtime") if isinstance(hydra, Mapping) else None
    chosen = runtime.get("choices") if isinstance(runtime, Mapping) else None
    if not isinstance(chosen, Mapping):
        return []
    choices = {str(group): str(option) for group, option in chosen.items() if option is not None}
    if choices.get("reward_streams") == "both" and choices.get("reward") in TWO_STREAMS:
        choices["reward_streams"] = "two"
    return list(_errors(choices))


def _errors(choices: Mapping[str, str]) -> Iterator[ErrorDetail]:
    for rule in RULES:
        option, other = choices.get(rule.group, NOTHING), choices.get(rule.other, NOTHING)
        if not (_is_shipped(rule.group, option) and _is_shipped(rule.other, other)):
            continue
        if rule.refuses(option, other):
            has = f"{rule.other}={other}" if rule.other in choices else f"a config without {rule.other}"
            message = f"{rule.group}={option} does not go with {has}: {rule.why}"
            yield ErrorDetail(rule.group, message, f"choose {rule.other}={rule.suggestion}, or another {rule.group}")


@cache
def _is_shipped(group: str, option: str) -> bool:
    return option == NOTHING or find_file(config_folder(), f"{group}/{option}") is not None
