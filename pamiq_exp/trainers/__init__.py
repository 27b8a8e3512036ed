"""When and on what models train."""

from pamiq_exp.trainers.trainer import Trainer, TrainingContext

__all__ = ["Trainer", "TrainingContext"]
