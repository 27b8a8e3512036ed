"""Metrics of a run: observers of its turns, which do not act on it."""

from pamiq_exp.metrics.action_class import ActionClass
from pamiq_exp.metrics.buffered import BufferedMetric, TruthMetric
from pamiq_exp.metrics.coverage import Coverage, Rooms, VisitationEntropy
from pamiq_exp.metrics.episode_places import EpisodePlaces
from pamiq_exp.metrics.episodes import Episodes
from pamiq_exp.metrics.evaluation import Evaluation
from pamiq_exp.metrics.model_error import ModelError
from pamiq_exp.metrics.noise import (
    LongestDwell,
    NoiseInView,
    RemotePresses,
    RewardByNoise,
    RewardByTenth,
    RewardNoiseCorrelation,
    TimeInNoisyRoom,
)
from pamiq_exp.metrics.objects import ObjectsTouched
from pamiq_exp.metrics.plasticity import Plasticity
from pamiq_exp.metrics.pose_sweep import PoseProbe
from pamiq_exp.metrics.predicted_noise import PredictedNoise
from pamiq_exp.metrics.random_walks import RandomWalk
from pamiq_exp.metrics.reward_scores import FirstVisitAuroc

__all__ = [
    "ActionClass",
    "BufferedMetric",
    "Coverage",
    "EpisodePlaces",
    "Episodes",
    "Evaluation",
    "FirstVisitAuroc",
    "LongestDwell",
    "ModelError",
    "NoiseInView",
    "ObjectsTouched",
    "Plasticity",
    "PoseProbe",
    "PredictedNoise",
    "RandomWalk",
    "RemotePresses",
    "RewardByNoise",
    "RewardByTenth",
    "RewardNoiseCorrelation",
    "Rooms",
    "TimeInNoisyRoom",
    "TruthMetric",
    "VisitationEntropy",
]
