"""The groups of the shipped configs, what has a place beside what, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from omegaconf import DictConfig, OmegaConf

from pamiq_exp.config.checks.choices import NOTHING, RULES
from tests.conftest import experiment_names, options_of
from tests.end_to_end.combinations import Model, Refusal, Row


def options_but(group: str, *left_out: str) -> list[str]:
    """The options of a group without some."""
    return [name for name in options_of(group) if name not in left_out]


PENDULUM = "gymnasium id=Pendulum-v1"
GRID = "gymnasium id=MiniGrid-Empty-5x5-v0 render_as_observation=true image_size=32"
CARTPOLE = "cartpole"
PICTURES = "pictures"
GYMNASIUM = [CARTPOLE, PENDULUM, GRID]
LEARNING = ["curiosity", "pamiq2023", "pamiq2024", "ppo"]
"""Agents with a place for all parts that learn."""

NORMALIZED = options_but("reward", "extrinsic", "reconstruction_error", "levels")

STREAMS = options_but("reward_streams", "both")
"""`both` is one of the others, as the reward has it."""

OPTIONS = {
    "reward": options_of("reward"),
    "dynamics": options_of("dynamics"),
    "encoder": options_of("encoder"),
    "policy": options_but(
        "policy",
        "dqn_cartpole",
        "sac_pixels",
        "dreamer_small",
        "ppo_cartpole",
        "ppo_minigrid",
        "imagination_cartpole",
        "imagination_curious",
        "ppo_jax",  # with agent=ppo_jax: it reads the observation itself, and takes nothing of policy_input
    ),
    "policy_input": options_of("policy_input"),
    "reward_streams": ["null", *STREAMS],
    "agent": [*LEARNING, "random"],
    "environment": ["noise_world", *GYMNASIUM, PICTURES],
    "world": options_of("world"),
    "overlay": options_of("overlay"),
    "core": options_of("core"),
    "decoder": ["null", "latent_decoder"],
    "normalizer": options_of("normalizer"),
    "buffers": options_of("buffers"),
    "metrics": options_of("metrics"),
    "launcher": options_of("launcher"),
    "interaction": options_but("interaction", "fixed_interval_50_ms"),
    "tracking": options_of("tracking"),
}
PLACES = {
    "world": {"environment": ["noise_world"]},
    "overlay": {"environment": GYMNASIUM},
    **{
        group: {"agent": LEARNING}
        for group in ("encoder", "dynamics", "decoder", "buffers", "policy", "reward", "reward_streams")
    },
    "normalizer": {"reward": NORMALIZED},
    "core": {"policy": ["ppo_recurrent"]},
    "policy_input": {"policy": ["dqn", "dreamer", "ppo", "ppo_legacy", "ppo_recurrent", "sac"]},
}


def refused_by_rules() -> Iterator[Refusal]:
    """The pairs that the rules refuse, with what is to be chosen instead."""
    for rule in RULES:
        for option, other in product(OPTIONS[rule.group], OPTIONS[rule.other]):
            if rule.refuses(_plain(option), _plain(other)):
                words = f"choose {rule.other}={rule.suggestion}, or another {rule.group}"
                yield Refusal((rule.group, option), (rule.other, other), words)


def _plain(option: str) -> str:
    return NOTHING if option == "null" else option


WITHOUT_PICTURE = [CARTPOLE, PENDULUM]
READS_PICTURES = [("encoder", name) for name in ("image_vae", "ijepa", "pixels")]
READS_PICTURES += [("decoder", "latent_decoder"), ("dynamics", "pixels")]
REFUSALS: Sequence[Refusal] = (
    *refused_by_rules(),
    Refusal(("reward", "noveld"), ("encoder", "none"), "give the agent an encoder (encoder=...)"),  # it counts cells
    *(
        Refusal(("overlay", overlay), ("environment", world), "render_as_observation=true")
        for overlay in OPTIONS["overlay"] for world in WITHOUT_PICTURE if overlay != "none"
    ),
    *(
        Refusal(choice, ("environment", world), f"another {choice[0]}")
        for choice in READS_PICTURES for world in WITHOUT_PICTURE
    ),
    *(
        Refusal(("reward", oracle), ("environment", world), "environment=noise_world")
        for oracle, worlds in {"count_oracle": [*GYMNASIUM, PICTURES], "mask_oracle": [GRID, PICTURES]}.items()
        for world in worlds
    ),
    *(Refusal(("reward", "mask_oracle"), ("environment", world), "another environment") for world in WITHOUT_PICTURE),
    *(
        Refusal(("reward_streams", streams), ("reward", "extrinsic"), "choose another reward")
        for streams in STREAMS
    ),
    *(
        Refusal(("reward_streams", streams), ("environment", world), "choose another environment")
        for streams in STREAMS for world in ("noise_world", PICTURES)
    ),
    Refusal(("reward_streams", "two"), ("reward", "rle"), "choose reward_streams=single"),
    *(Refusal(("reward", "new_places"), ("environment", world), "odometry") for world in (*GYMNASIUM, PICTURES)),
    Refusal(("policy", "dqn"), ("environment", PENDULUM), "DQN needs discrete actions"),
    *(
        Refusal(("encoder", "plain_features"), ("environment", world), "another encoder")
        for world in ("noise_world", GRID, PICTURES)
    ),
)  # fmt: skip

APART = [("reward", "world"), ("reward", "overlay"), ("reward_streams", "world")]
"""The noise world pays nothing.

What is seen reaches rewards as pictures of the same shape, whatever is in them: once with each group is enough."""

MODEL = Model(OPTIONS, PLACES, REFUSALS, APART)

EXPERIMENTS = experiment_names()
STUDIED = {"curiosity_study"}
"""Experiments that choose an arm, which brings the agent."""


REPLAYED_REWARDS = ("curiosity_critic", "hierarchical", "levels", "meta", "ngu", "noveld", "rle", "rnd")


def _is_replayed(row: Row) -> bool:
    """Whether anything learns from the replay buffer."""
    idle = {"encoder": ("none", "pixels"), "dynamics": ("none",), "decoder": ("null",)}
    learns = any(row.get(group, options[0]) not in options for group, options in idle.items())
    return learns or row.get("policy") == "imagination" or row.get("reward") in REPLAYED_REWARDS


def words_of(row: Row, experiment: str) -> list[str]:
    """The command line of a row."""
    words = [f"experiment={experiment}"]
    for group, option in row.items():
        name, _, rest = option.partition(" ")
        if option != "null":
            words += [f"{group}={name}", *(f"environment.{each}" for each in rest.split())]
    if row.get("launcher") == "sequential":
        words.append("num_envs=1")  # as the error about several waiting environments suggests
    if "buffers" in row and not _is_replayed(row):
        words.append("buffers.replay=null")  # as the error about an unread buffer suggests
    return words


SOON = {"learning_starts": 24, "train_every": 24, "rollout_steps": 16, "epochs": 1, "batch_size": 4}
SMALL = {
    "environment": {"image_size": 32, "num_envs": 2, "images": {"size": 8}},
    "trainers": {
        "*": {**SOON, "gradient_steps": 1, "held_out": {"turns": 32}},
        "policy": {"sequence_length": 4},  # of which a rollout is a multiple
    },
    "models": {"*": {"warmup": 10, "other": {"warmup": 10}}},
    "metrics": {"*": {"poses": {"poses": 8}, "max_steps": 96}},
    "buffers": {"*": {"capacity": 256}},
}
"""Settings with which everything begins to learn within a few turns, where a config has the key with a number."""


def quick_words(config: DictConfig) -> Iterator[str]:
    """The words that make a run of a config short."""
    pipelined = config.launcher.mode == "pipelined"  # which publishes a round some turns after it has begun
    steps = max(96, 12 * int(config.num_envs)) if pipelined else 96
    yield from (f"launcher.max_steps={steps}", "launcher.record_every_steps=32", "launcher.time_scale=1000")
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    words = (word for group, settings in SMALL.items() for word in _words(group, plain.get(group), settings))
    yield from dict.fromkeys(re.sub(r"^(\w+\.level)_\d", r"\1", word) for word in words)  # copies are set at once


def _words(key: str, node: object, settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items() if isinstance(node, dict) else ():
        for each in node if name == "*" else [name]:
            if isinstance(value, dict):
                yield from _words(f"{key}.{each}", node.get(each), value)
            elif type(node.get(each)) is int:
                yield f"{key}.{each}={value}"
