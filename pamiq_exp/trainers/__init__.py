"""When and on what modules train, and how they are driven through Lightning Fabric."""

from pamiq_exp.trainers.driver import Evaluation, LightningDriver, NonFiniteError
from pamiq_exp.trainers.trainer import Trainer, TrainingContext

__all__ = ["Evaluation", "LightningDriver", "NonFiniteError", "Trainer", "TrainingContext"]
