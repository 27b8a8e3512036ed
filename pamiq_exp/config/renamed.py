"""Keys and choices of configs that had another name before: messages on unknown names point to the new one."""

from __future__ import annotations

from collections.abc import Collection

RENAMED = {
    # keys
    "alive": ("live",),
    "batches_per_round": ("gradient_steps",),
    "decay": ("ema_decay", "learning_rate_schedule", "horizon_decay"),
    "decay_updates": ("learning_rate_schedule", "decay"),
    "discount": ("gamma",),
    "emphasis": ("beta",),
    "floor": ("min_std", "min_relative_std"),
    "floor_steps": ("reference_steps",),
    "gradient_clip": ("max_grad_norm",),
    "lanes": ("num_envs",),
    "min_new": ("train_every",),
    "min_size": ("learning_starts",),
    "minimum": ("warmup",),
    "momentum": ("ema_decay",),
    "normaliser": ("normalizer",),
    "outcome": ("reward_heads",),
    "rollout_length": ("rollout_steps",),
    "share": ("ema_decay",),
    "slow_rate": ("critic_ema_decay", "ema_decay"),
    "slowness": ("ema_decay",),
    "stare": ("longest_dwell",),
    "smallest": ("min_std", "min_variance", "min_error"),
    # choices
    "curious_and_extrinsic": ("prediction_error",),
    "delta_minimise": ("delta_minimize",),
    "penalised": ("penalized",),
    # classes
    "DreamerActorCritic": ("ImaginationActorCritic",),
    "OutcomeModel": ("RewardHeads",),
    "PenalisedNormal": ("PenalizedNormal",),
    "RecordedAgent": ("PlaybackAgent",),
    "RecordingAgent": ("LearningAgent",),
}
"""Old name -> what it is called now; of several the one that fits where it was written."""


def new_names(name: str, known: Collection[str]) -> list[str]:
    """Return what an old name is called now, as far as those names are known where it was written."""
    return [new for new in RENAMED.get(name, ()) if new in known]
