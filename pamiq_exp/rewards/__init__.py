"""Rewards: one formula a file."""

from pamiq_exp.rewards.ama import AleatoricMapping
from pamiq_exp.rewards.count_oracle import CountOracle
from pamiq_exp.rewards.delta_minimise import DeltaMinimise
from pamiq_exp.rewards.disagreement import Disagreement
from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.e3b import EllipticalBonus
from pamiq_exp.rewards.extrinsic import Extrinsic
from pamiq_exp.rewards.gamma_progress import GammaProgress
from pamiq_exp.rewards.gaussian_ensemble import GaussianEnsemble
from pamiq_exp.rewards.hash_count import HashCount
from pamiq_exp.rewards.hierarchical import Hierarchical
from pamiq_exp.rewards.icm import InverseFeatureError
from pamiq_exp.rewards.learning_progress import LearningProgress
from pamiq_exp.rewards.levels import LevelScheme, level_coefficients
from pamiq_exp.rewards.mask_oracle import MaskOracle
from pamiq_exp.rewards.meta import Meta
from pamiq_exp.rewards.normaliser import DiscountedStd, ExponentialStd, NoNormaliser, Normaliser
from pamiq_exp.rewards.noveld import NovelD
from pamiq_exp.rewards.open_loop_error import OpenLoopError
from pamiq_exp.rewards.prediction_error import PredictionError
from pamiq_exp.rewards.random_features import RandomFeatureError
from pamiq_exp.rewards.reconstruction_error import ReconstructionError
from pamiq_exp.rewards.reward import GroundTruth, Reward, RunningMean
from pamiq_exp.rewards.rle import RandomLatentExploration
from pamiq_exp.rewards.rnd import RandomNetworkDistillation
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
from pamiq_exp.rewards.weighted_sum import WeightedSum

__all__ = [
    "AleatoricMapping",
    "CountOracle",
    "DeltaMinimise",
    "Disagreement",
    "DiscountedStd",
    "DynamicsReward",
    "EllipticalBonus",
    "ExponentialStd",
    "Extrinsic",
    "GammaProgress",
    "GaussianEnsemble",
    "GroundTruth",
    "HashCount",
    "Hierarchical",
    "InverseFeatureError",
    "LearningProgress",
    "LevelScheme",
    "MaskOracle",
    "Meta",
    "NeededModel",
    "NoNormaliser",
    "Normaliser",
    "NovelD",
    "OpenLoopError",
    "PredictionError",
    "PublishedModel",
    "RandomFeatureError",
    "RandomLatentExploration",
    "RandomNetworkDistillation",
    "ReconstructionError",
    "Reward",
    "RunningMean",
    "Transition",
    "WeightedSum",
    "level_coefficients",
]
