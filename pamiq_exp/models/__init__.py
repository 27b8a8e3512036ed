"""Models and the layers they share: Lightning modules, and models in JAX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.models.dynamics.ensemble import EnsembleDynamics
    from pamiq_exp.models.dynamics.forward_dynamics import ForwardDynamics
    from pamiq_exp.models.dynamics.horizon import horizon_weights
    from pamiq_exp.models.dynamics.latent_model import LatentModel, NetworkModel, Pairs
    from pamiq_exp.models.dynamics.network import DynamicsNetwork, HeadedDynamics
    from pamiq_exp.models.dynamics.predictions import (
        FixedNormal,
        FixedNormalHead,
        Mixture,
        MixtureHead,
        Normal,
        NormalHead,
        Prediction,
        PredictionHead,
    )
    from pamiq_exp.models.dynamics.recurrent import RecurrentDynamics
    from pamiq_exp.models.dynamics.residual import ResidualDynamics
    from pamiq_exp.models.encoders.encoder import Encoder
    from pamiq_exp.models.encoders.ijepa.ijepa import IJepa
    from pamiq_exp.models.encoders.image_vae import ImageVae
    from pamiq_exp.models.encoders.inverse_dynamics import InverseDynamics
    from pamiq_exp.models.encoders.latent_decoder import LatentDecoder
    from pamiq_exp.models.encoders.random_features import PlainFeatures, RandomFeatures
    from pamiq_exp.models.encoders.suitable_encoder import suitable_encoder
    from pamiq_exp.models.jax_model import JaxModel
    from pamiq_exp.models.nn.action_distributions import (
        ActionDistribution,
        ActionEmbedding,
        ActionEncoding,
        DiagonalGaussian,
        MultiCategorical,
        make_action_head,
    )
    from pamiq_exp.models.nn.inputs import Batch
    from pamiq_exp.models.nn.running_moments import RunningMoments
    from pamiq_exp.models.nn.two_hot import TwoHotHead, symexp, symlog
    from pamiq_exp.models.nn.value_head import ValueHead
    from pamiq_exp.models.pixels import PixelDynamics, Pixels
    from pamiq_exp.models.policies.dqn import DeepQLearning, QNetwork
    from pamiq_exp.models.policies.jax_ppo import JaxActorCritic
    from pamiq_exp.models.policies.networks import PolicyNetwork, PolicyValueNetwork, RecurrentPolicyValue
    from pamiq_exp.models.policies.ppo import ActorCritic
    from pamiq_exp.models.policies.sac import SacNetwork, SoftActorCritic
    from pamiq_exp.models.world_models.behavior import ImaginationPolicy
    from pamiq_exp.models.world_models.dreamer import Dreamer, DreamerNetwork
    from pamiq_exp.models.world_models.imagination import Imagined, imagine, lambda_returns
    from pamiq_exp.models.world_models.imagination_policy import ImaginationActorCritic
    from pamiq_exp.models.world_models.reward_head import RewardHeads, RewardHeadsNetwork

__all__ = [
    "ActionDistribution",
    "ActionEmbedding",
    "ActionEncoding",
    "ActorCritic",
    "Batch",
    "DeepQLearning",
    "DiagonalGaussian",
    "Dreamer",
    "DreamerNetwork",
    "DynamicsNetwork",
    "Encoder",
    "EnsembleDynamics",
    "FixedNormal",
    "FixedNormalHead",
    "ForwardDynamics",
    "HeadedDynamics",
    "IJepa",
    "ImageVae",
    "ImaginationActorCritic",
    "ImaginationPolicy",
    "Imagined",
    "InverseDynamics",
    "JaxActorCritic",
    "JaxModel",
    "LatentDecoder",
    "LatentModel",
    "Mixture",
    "MixtureHead",
    "MultiCategorical",
    "NetworkModel",
    "Normal",
    "NormalHead",
    "Pairs",
    "PixelDynamics",
    "Pixels",
    "PlainFeatures",
    "PolicyNetwork",
    "PolicyValueNetwork",
    "Prediction",
    "PredictionHead",
    "QNetwork",
    "RandomFeatures",
    "RecurrentDynamics",
    "RecurrentPolicyValue",
    "ResidualDynamics",
    "RewardHeads",
    "RewardHeadsNetwork",
    "RunningMoments",
    "SacNetwork",
    "SoftActorCritic",
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

__getattr__ = lazy_names(
    __name__,
    {
        "ActionDistribution": "nn.action_distributions",
        "ActionEmbedding": "nn.action_distributions",
        "ActionEncoding": "nn.action_distributions",
        "ActorCritic": "policies.ppo",
        "Batch": "nn.inputs",
        "DeepQLearning": "policies.dqn",
        "DiagonalGaussian": "nn.action_distributions",
        "Dreamer": "world_models.dreamer",
        "DreamerNetwork": "world_models.dreamer",
        "DynamicsNetwork": "dynamics.network",
        "Encoder": "encoders.encoder",
        "EnsembleDynamics": "dynamics.ensemble",
        "FixedNormal": "dynamics.predictions",
        "FixedNormalHead": "dynamics.predictions",
        "ForwardDynamics": "dynamics.forward_dynamics",
        "HeadedDynamics": "dynamics.network",
        "IJepa": "encoders.ijepa.ijepa",
        "ImageVae": "encoders.image_vae",
        "ImaginationActorCritic": "world_models.imagination_policy",
        "ImaginationPolicy": "world_models.behavior",
        "Imagined": "world_models.imagination",
        "InverseDynamics": "encoders.inverse_dynamics",
        "JaxActorCritic": "policies.jax_ppo",
        "JaxModel": "jax_model",
        "LatentDecoder": "encoders.latent_decoder",
        "LatentModel": "dynamics.latent_model",
        "Mixture": "dynamics.predictions",
        "MixtureHead": "dynamics.predictions",
        "MultiCategorical": "nn.action_distributions",
        "NetworkModel": "dynamics.latent_model",
        "Normal": "dynamics.predictions",
        "NormalHead": "dynamics.predictions",
        "Pairs": "dynamics.latent_model",
        "PixelDynamics": "pixels",
        "Pixels": "pixels",
        "PlainFeatures": "encoders.random_features",
        "PolicyNetwork": "policies.networks",
        "PolicyValueNetwork": "policies.networks",
        "Prediction": "dynamics.predictions",
        "PredictionHead": "dynamics.predictions",
        "QNetwork": "policies.dqn",
        "RandomFeatures": "encoders.random_features",
        "RecurrentDynamics": "dynamics.recurrent",
        "RecurrentPolicyValue": "policies.networks",
        "ResidualDynamics": "dynamics.residual",
        "RewardHeads": "world_models.reward_head",
        "RewardHeadsNetwork": "world_models.reward_head",
        "RunningMoments": "nn.running_moments",
        "SacNetwork": "policies.sac",
        "SoftActorCritic": "policies.sac",
        "TwoHotHead": "nn.two_hot",
        "ValueHead": "nn.value_head",
        "horizon_weights": "dynamics.horizon",
        "imagine": "world_models.imagination",
        "lambda_returns": "world_models.imagination",
        "make_action_head": "nn.action_distributions",
        "suitable_encoder": "encoders.suitable_encoder",
        "symexp": "nn.two_hot",
        "symlog": "nn.two_hot",
    },
)
