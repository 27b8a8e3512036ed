"""Lightning modules and the layers they share."""

from pamiq_exp.models.actor_critic import ActorCritic
from pamiq_exp.models.distributions import (
    ActionDistribution,
    ActionEncoding,
    DiagonalGaussian,
    MultiCategorical,
    make_action_head,
)
from pamiq_exp.models.encoder import Encoder
from pamiq_exp.models.forward_dynamics import (
    DynamicsNetwork,
    ForwardDynamics,
    RecurrentDynamics,
    ResidualDynamics,
)
from pamiq_exp.models.image_vae import ImageVae
from pamiq_exp.models.inputs import Batch
from pamiq_exp.models.moments import RunningMoments
from pamiq_exp.models.policy_value import PolicyValueNetwork
from pamiq_exp.models.random_features import RandomFeatures

__all__ = [
    "ActionDistribution",
    "ActionEncoding",
    "ActorCritic",
    "Batch",
    "DiagonalGaussian",
    "DynamicsNetwork",
    "Encoder",
    "ForwardDynamics",
    "ImageVae",
    "MultiCategorical",
    "PolicyValueNetwork",
    "RandomFeatures",
    "RecurrentDynamics",
    "ResidualDynamics",
    "RunningMoments",
    "make_action_head",
]
