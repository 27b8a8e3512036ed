"""Training of LightningModules without `lightning.Trainer`, to the same bits."""

from pamiq_exp.lightning_loop.driven_module import TrainingPlan
from pamiq_exp.lightning_loop.driver import LightningDriver
from pamiq_exp.lightning_loop.evaluation import Evaluation
from pamiq_exp.lightning_loop.gradients import GradientSettings
from pamiq_exp.lightning_loop.nonfinite import NonFiniteError

__all__ = [
    "Evaluation",
    "GradientSettings",
    "LightningDriver",
    "NonFiniteError",
    "TrainingPlan",
]
