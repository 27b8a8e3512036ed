"""Keys and choices of configs that had another name before: messages on unknown names point to the new one."""

from __future__ import annotations

from collections.abc import Collection

RENAMED = {
    # keys
    "alive": ("live",),
    "batches_per_round": ("gradient_steps",),
    "decay": ("horizon_decay",),
    "decay_updates": ("decay",),
    "discount": ("gamma",),
    "emphasis": ("beta",),
    "gradient_clip": ("max_grad_norm",),
    "lanes": ("num_envs",),
    "min_new": ("train_every",),
    "min_size": ("learning_starts",),
    "minimum": ("warmup",),
    "normaliser": ("normalizer",),
    "rollout_length": ("rollout_steps",),
    # choices
    "delta_minimise": ("delta_minimize",),
    "dreamer": ("imagination",),
    "penalised": ("penalized",),
    # classes
    "DreamerActorCritic": ("ImaginationActorCritic",),
    "OutcomeModel": ("RewardHeads",),
    "RecordedAgent": ("PlaybackAgent",),
    "RecordingAgent": ("LearningAgent",),
}
"""Old name -> what it is called now; of several the one that fits where it was written."""


def new_names(name: str, known: Collection[str]) -> list[str]:
    """Return what an old name is called now, as far as those names are known where it was written."""
    return [new for new in RENAMED.get(name, ()) if new in known]
