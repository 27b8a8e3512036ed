"""Trainers: when and on what a module trains. Replay, on-policy, advantages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.trainers.advantage import Advantages, generalized_advantages, standardized
    from pamiq_exp.trainers.interventions import Intervention, L2Init, ReDo, ShrinkAndPerturb
    from pamiq_exp.trainers.jax_on_policy import JaxOnPolicyTrainer
    from pamiq_exp.trainers.module_trainer import ModuleTrainer
    from pamiq_exp.trainers.n_step import n_step_transitions
    from pamiq_exp.trainers.off_policy import OffPolicyTrainer
    from pamiq_exp.trainers.on_policy import OnPolicyTrainer, ReturnStream
    from pamiq_exp.trainers.replay import ReplayTrainer
    from pamiq_exp.trainers.trainer import Trainer, TrainingContext

__all__ = [
    "Advantages",
    "Intervention",
    "JaxOnPolicyTrainer",
    "L2Init",
    "ModuleTrainer",
    "OffPolicyTrainer",
    "OnPolicyTrainer",
    "ReDo",
    "ReplayTrainer",
    "ReturnStream",
    "ShrinkAndPerturb",
    "Trainer",
    "TrainingContext",
    "generalized_advantages",
    "n_step_transitions",
    "standardized",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Advantages": "advantage",
        "Intervention": "interventions",
        "JaxOnPolicyTrainer": "jax_on_policy",
        "L2Init": "interventions",
        "ModuleTrainer": "module_trainer",
        "OffPolicyTrainer": "off_policy",
        "OnPolicyTrainer": "on_policy",
        "ReDo": "interventions",
        "ReplayTrainer": "replay",
        "ReturnStream": "on_policy",
        "ShrinkAndPerturb": "interventions",
        "Trainer": "trainer",
        "TrainingContext": "trainer",
        "generalized_advantages": "advantage",
        "n_step_transitions": "n_step",
        "standardized": "advantage",
    },
)
