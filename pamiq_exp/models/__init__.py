"""Lightning modules and the layers they share."""

from pamiq_exp.models.actor_critic import ActorCritic
from pamiq_exp.models.distributions import (
    ActionDistribution,
    ActionEmbedding,
    ActionEncoding,
    DiagonalGaussian,
    MultiCategorical,
    make_action_head,
)
from pamiq_exp.models.dreamer import DreamerActorCritic, ImaginationPolicy
from pamiq_exp.models.dynamics import (
    DynamicsNetwork,
    EnsembleDynamics,
    FixedNormal,
    FixedNormalHead,
    ForwardDynamics,
    HeadedDynamics,
    Mixture,
    MixtureHead,
    Normal,
    NormalHead,
    Prediction,
    PredictionHead,
    RecurrentDynamics,
    ResidualDynamics,
    horizon_weights,
)
from pamiq_exp.models.encoder import Encoder
from pamiq_exp.models.hierarchy import TimeHierarchy, TimeHierarchyModel
from pamiq_exp.models.ijepa import IJepa
from pamiq_exp.models.image_vae import ImageVae
from pamiq_exp.models.imagination import Imagined, imagine, lambda_returns
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.inverse_dynamics import InverseDynamics
from pamiq_exp.models.latent_decoder import LatentDecoder
from pamiq_exp.models.latent_model import LatentModel, NetworkModel, Pairs
from pamiq_exp.models.moments import RunningMoments
from pamiq_exp.models.outcome_model import OutcomeModel, OutcomeNetwork
from pamiq_exp.models.penalised_normal import PenalisedNormal, PenalisedNormalHead
from pamiq_exp.models.pixels import PixelDynamics, Pixels
from pamiq_exp.models.policy_value import PolicyNetwork, PolicyValueNetwork, RecurrentPolicyValue
from pamiq_exp.models.previous_error import PreviousError, PreviousErrorNetwork
from pamiq_exp.models.progress import ProgressDynamics, TwoAges
from pamiq_exp.models.random_features import PlainFeatures, RandomFeatures
from pamiq_exp.models.random_goals import GoalFeatures, RandomGoals
from pamiq_exp.models.random_network import RandomNetwork, RandomNetworkDistillation
from pamiq_exp.models.residual_levels import ResidualLevels, ResidualLevelsModel
from pamiq_exp.models.suitable_encoder import suitable_encoder
from pamiq_exp.models.two_hot import TwoHotHead, symexp, symlog
from pamiq_exp.models.value_head import ValueHead

__all__ = [
    "ActionDistribution",
    "ActionEmbedding",
    "ActionEncoding",
    "ActorCritic",
    "Batch",
    "DiagonalGaussian",
    "DreamerActorCritic",
    "DynamicsNetwork",
    "Encoder",
    "EnsembleDynamics",
    "FixedNormal",
    "FixedNormalHead",
    "ForwardDynamics",
    "GoalFeatures",
    "HeadedDynamics",
    "IJepa",
    "ImageVae",
    "ImaginationPolicy",
    "Imagined",
    "InverseDynamics",
    "LatentDecoder",
    "LatentModel",
    "Mixture",
    "MixtureHead",
    "MultiCategorical",
    "NetworkModel",
    "Normal",
    "NormalHead",
    "OutcomeModel",
    "OutcomeNetwork",
    "Pairs",
    "PenalisedNormal",
    "PenalisedNormalHead",
    "PixelDynamics",
    "Pixels",
    "PlainFeatures",
    "PolicyNetwork",
    "PolicyValueNetwork",
    "Prediction",
    "PredictionHead",
    "PreviousError",
    "PreviousErrorNetwork",
    "ProgressDynamics",
    "RandomFeatures",
    "RandomGoals",
    "RandomNetwork",
    "RandomNetworkDistillation",
    "RecurrentDynamics",
    "RecurrentPolicyValue",
    "ResidualDynamics",
    "ResidualLevels",
    "ResidualLevelsModel",
    "RunningMoments",
    "TimeHierarchy",
    "TimeHierarchyModel",
    "TwoAges",
    "TwoHotHead",
    "ValueHead",
    "horizon_weights",
    "imagine",
    "lambda_returns",
    "make_action_head",
    "suitable_encoder",
    "symexp",
    "symlog",
]
