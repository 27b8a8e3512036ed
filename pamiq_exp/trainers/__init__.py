"""When and on what modules train, and how they are driven through Lightning Fabric."""

from pamiq_exp.trainers.advantage import Advantages, generalized_advantages, standardized
from pamiq_exp.trainers.module_trainer import ModuleTrainer
from pamiq_exp.trainers.on_policy import OnPolicyTrainer
from pamiq_exp.trainers.replay import ReplayTrainer
from pamiq_exp.trainers.trainer import Trainer, TrainingContext

__all__ = [
    "Advantages",
    "ModuleTrainer",
    "OnPolicyTrainer",
    "ReplayTrainer",
    "Trainer",
    "TrainingContext",
    "generalized_advantages",
    "standardized",
]
