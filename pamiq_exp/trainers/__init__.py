"""When and on what modules train, and how they are driven through Lightning Fabric."""

from pamiq_exp.trainers.advantage import Advantages, generalized_advantages, standardized
from pamiq_exp.trainers.driver import LightningDriver, TrainingPlan
from pamiq_exp.trainers.evaluation import Evaluation
from pamiq_exp.trainers.gradients import GradientSettings
from pamiq_exp.trainers.module_trainer import ModuleTrainer
from pamiq_exp.trainers.nonfinite import NonFiniteError
from pamiq_exp.trainers.on_policy import OnPolicyTrainer
from pamiq_exp.trainers.replay import ReplayTrainer
from pamiq_exp.trainers.trainer import Trainer, TrainingContext

__all__ = [
    "Advantages",
    "Evaluation",
    "GradientSettings",
    "LightningDriver",
    "ModuleTrainer",
    "NonFiniteError",
    "OnPolicyTrainer",
    "ReplayTrainer",
    "Trainer",
    "TrainingContext",
    "TrainingPlan",
    "generalized_advantages",
    "standardized",
]
