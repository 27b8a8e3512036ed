"""What a run measures about itself: observers of its turns that never take part."""

from pamiq_exp.metrics.action_class import ActionClass
from pamiq_exp.metrics.coverage import Coverage
from pamiq_exp.metrics.episodes import Episodes
from pamiq_exp.metrics.first_visit_auroc import FirstVisitAuroc
from pamiq_exp.metrics.model_error import ModelError
from pamiq_exp.metrics.noise_view import NoiseInView
from pamiq_exp.metrics.noisy_room import TimeInNoisyRoom
from pamiq_exp.metrics.objects import ObjectsTouched
from pamiq_exp.metrics.pages import PagedMetric
from pamiq_exp.metrics.pose_probe import PoseProbe
from pamiq_exp.metrics.random_walks import RandomWalk
from pamiq_exp.metrics.remote import RemotePresses
from pamiq_exp.metrics.reward_by_noise import RewardByNoise
from pamiq_exp.metrics.reward_by_tenth import RewardByTenth
from pamiq_exp.metrics.reward_noise_correlation import RewardNoiseCorrelation
from pamiq_exp.metrics.rooms import Rooms
from pamiq_exp.metrics.stare import LongestStare
from pamiq_exp.metrics.truth_metric import TruthMetric
from pamiq_exp.metrics.visits import VisitationEntropy

__all__ = [
    "ActionClass",
    "Coverage",
    "Episodes",
    "FirstVisitAuroc",
    "LongestStare",
    "ModelError",
    "NoiseInView",
    "ObjectsTouched",
    "PagedMetric",
    "PoseProbe",
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
