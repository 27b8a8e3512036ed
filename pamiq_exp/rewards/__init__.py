"""Rewards: one formula a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.rewards.ama import AleatoricMapping, PenalizedNormal, PenalizedNormalHead
    from pamiq_exp.rewards.count_oracle import CountOracle
    from pamiq_exp.rewards.curiosity_critic import CuriosityCritic, ErrorCritic, ErrorCriticNetwork, TableCritic
    from pamiq_exp.rewards.delta_minimize import DeltaMinimize
    from pamiq_exp.rewards.disagreement import Disagreement
    from pamiq_exp.rewards.dynamics_reward import DynamicsReward
    from pamiq_exp.rewards.e3b import EllipticalBonus
    from pamiq_exp.rewards.extrinsic import Extrinsic
    from pamiq_exp.rewards.gamma_progress import DynamicsPair, GammaProgress, ProgressDynamics
    from pamiq_exp.rewards.gaussian_ensemble import GaussianEnsemble
    from pamiq_exp.rewards.hash_count import HashCount
    from pamiq_exp.rewards.hierarchical import (
        Hierarchical,
        LevelScheme,
        TimeHierarchy,
        TimeHierarchyModel,
        level_coefficients,
    )
    from pamiq_exp.rewards.learning_progress import LearningProgress, PreviousError, PreviousErrorNetwork
    from pamiq_exp.rewards.mask_oracle import MaskOracle
    from pamiq_exp.rewards.meta import Meta, ResidualLevels, ResidualLevelsModel
    from pamiq_exp.rewards.new_places import NewPlaces
    from pamiq_exp.rewards.ngu import NeverGiveUp
    from pamiq_exp.rewards.normalizer import DiscountedStd, ExponentialStd, NoNormalizer, Normalizer
    from pamiq_exp.rewards.noveld import NovelD
    from pamiq_exp.rewards.open_loop_error import OpenLoopError
    from pamiq_exp.rewards.prediction_error import InverseFeatureError, PredictionError, RandomFeatureError
    from pamiq_exp.rewards.reconstruction_error import ReconstructionError
    from pamiq_exp.rewards.reward import GroundTruth, Reward, RunningMean
    from pamiq_exp.rewards.rle import GoalFeatures, RandomGoals, RandomLatentExploration
    from pamiq_exp.rewards.rnd import RandomNetwork, RandomNetworkDistillation, RndModel
    from pamiq_exp.rewards.streams import RewardStreams
    from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition
    from pamiq_exp.rewards.weighted_sum import WeightedSum

__all__ = [
    "AleatoricMapping",
    "CountOracle",
    "CuriosityCritic",
    "DeltaMinimize",
    "Disagreement",
    "DiscountedStd",
    "DynamicsPair",
    "DynamicsReward",
    "EllipticalBonus",
    "ErrorCritic",
    "ErrorCriticNetwork",
    "ExponentialStd",
    "Extrinsic",
    "GammaProgress",
    "GaussianEnsemble",
    "GoalFeatures",
    "GroundTruth",
    "HashCount",
    "Hierarchical",
    "InverseFeatureError",
    "LearningProgress",
    "LevelScheme",
    "MaskOracle",
    "Meta",
    "NeededModel",
    "NeverGiveUp",
    "NewPlaces",
    "NoNormalizer",
    "Normalizer",
    "NovelD",
    "OpenLoopError",
    "PenalizedNormal",
    "PenalizedNormalHead",
    "PredictionError",
    "PreviousError",
    "PreviousErrorNetwork",
    "ProgressDynamics",
    "PublishedModel",
    "RandomFeatureError",
    "RandomGoals",
    "RandomLatentExploration",
    "RandomNetwork",
    "RandomNetworkDistillation",
    "ReconstructionError",
    "ResidualLevels",
    "ResidualLevelsModel",
    "Reward",
    "RewardStreams",
    "RndModel",
    "RunningMean",
    "TableCritic",
    "TimeHierarchy",
    "TimeHierarchyModel",
    "Transition",
    "WeightedSum",
    "level_coefficients",
]

__getattr__ = lazy_names(
    __name__,
    {
        "AleatoricMapping": "ama",
        "CountOracle": "count_oracle",
        "CuriosityCritic": "curiosity_critic",
        "DeltaMinimize": "delta_minimize",
        "Disagreement": "disagreement",
        "DiscountedStd": "normalizer",
        "DynamicsPair": "gamma_progress",
        "DynamicsReward": "dynamics_reward",
        "EllipticalBonus": "e3b",
        "ErrorCritic": "curiosity_critic",
        "ErrorCriticNetwork": "curiosity_critic",
        "ExponentialStd": "normalizer",
        "Extrinsic": "extrinsic",
        "GammaProgress": "gamma_progress",
        "GaussianEnsemble": "gaussian_ensemble",
        "GoalFeatures": "rle",
        "GroundTruth": "reward",
        "HashCount": "hash_count",
        "Hierarchical": "hierarchical",
        "InverseFeatureError": "prediction_error",
        "LearningProgress": "learning_progress",
        "LevelScheme": "hierarchical",
        "MaskOracle": "mask_oracle",
        "Meta": "meta",
        "NeededModel": "transition",
        "NeverGiveUp": "ngu",
        "NewPlaces": "new_places",
        "NoNormalizer": "normalizer",
        "Normalizer": "normalizer",
        "NovelD": "noveld",
        "OpenLoopError": "open_loop_error",
        "PenalizedNormal": "ama",
        "PenalizedNormalHead": "ama",
        "PredictionError": "prediction_error",
        "PreviousError": "learning_progress",
        "PreviousErrorNetwork": "learning_progress",
        "ProgressDynamics": "gamma_progress",
        "PublishedModel": "transition",
        "RandomFeatureError": "prediction_error",
        "RandomGoals": "rle",
        "RandomLatentExploration": "rle",
        "RandomNetwork": "rnd",
        "RandomNetworkDistillation": "rnd",
        "ReconstructionError": "reconstruction_error",
        "ResidualLevels": "meta",
        "ResidualLevelsModel": "meta",
        "Reward": "reward",
        "RewardStreams": "streams",
        "RndModel": "rnd",
        "RunningMean": "reward",
        "TableCritic": "curiosity_critic",
        "TimeHierarchy": "hierarchical",
        "TimeHierarchyModel": "hierarchical",
        "Transition": "transition",
        "WeightedSum": "weighted_sum",
        "level_coefficients": "hierarchical",
    },
)
