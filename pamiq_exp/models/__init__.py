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
from pamiq_exp.models.ijepa import IJepa
from pamiq_exp.models.image_vae import ImageVae
from pamiq_exp.models.imagination import Imagined, imagine, lambda_returns
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.inverse_dynamics import InverseDynamics
from pamiq_exp.models.latent_decoder import LatentDecoder
from pamiq_exp.models.latent_model import LatentModel, Pairs
from pamiq_exp.models.moments import RunningMoments
from pamiq_exp.models.outcome_model import OutcomeModel, OutcomeNetwork
from pamiq_exp.models.policy_value import PolicyNetwork, PolicyValueNetwork, RecurrentPolicyValue
from pamiq_exp.models.random_features import PlainFeatures, RandomFeatures
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
    "Normal",
    "NormalHead",
    "OutcomeModel",
    "OutcomeNetwork",
    "Pairs",
    "PlainFeatures",
    "PolicyNetwork",
    "PolicyValueNetwork",
    "Prediction",
    "PredictionHead",
    "RandomFeatures",
    "RecurrentDynamics",
    "RecurrentPolicyValue",
    "ResidualDynamics",
    "RunningMoments",
    "TwoHotHead",
    "ValueHead",
    "horizon_weights",
    "imagine",
    "lambda_returns",
    "make_action_head",
    "symexp",
    "symlog",
]
