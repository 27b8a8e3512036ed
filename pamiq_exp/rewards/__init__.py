"""Rewards: one formula a file."""

from pamiq_exp.rewards.extrinsic import Extrinsic
from pamiq_exp.rewards.normaliser import DiscountedStd, NoNormaliser, Normaliser
from pamiq_exp.rewards.prediction_error import PredictionError
from pamiq_exp.rewards.reconstruction_error import ReconstructionError
from pamiq_exp.rewards.reward import Reward, RunningMean
from pamiq_exp.rewards.transition import PublishedModel, Transition, published
from pamiq_exp.rewards.weighted_sum import WeightedSum

__all__ = [
    "DiscountedStd",
    "Extrinsic",
    "NoNormaliser",
    "Normaliser",
    "PredictionError",
    "PublishedModel",
    "ReconstructionError",
    "Reward",
    "RunningMean",
    "Transition",
    "WeightedSum",
    "published",
]
