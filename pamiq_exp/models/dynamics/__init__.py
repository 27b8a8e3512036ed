"""Forward dynamics: networks, the distributions that they predict, and their training."""

from pamiq_exp.models.dynamics.ensemble import EnsembleDynamics
from pamiq_exp.models.dynamics.forward_dynamics import ForwardDynamics
from pamiq_exp.models.dynamics.horizon import HorizonDecay, horizon_weights
from pamiq_exp.models.dynamics.network import DynamicsNetwork, HeadedDynamics
from pamiq_exp.models.dynamics.predictions import (
    FixedNormal,
    FixedNormalHead,
    HeadFactory,
    Mixture,
    MixtureHead,
    Normal,
    NormalHead,
    Prediction,
    PredictionHead,
)
from pamiq_exp.models.dynamics.recurrent import RecurrentDynamics
from pamiq_exp.models.dynamics.residual import ResidualDynamics

__all__ = [
    "DynamicsNetwork",
    "EnsembleDynamics",
    "FixedNormal",
    "FixedNormalHead",
    "ForwardDynamics",
    "HeadFactory",
    "HeadedDynamics",
    "HorizonDecay",
    "Mixture",
    "MixtureHead",
    "Normal",
    "NormalHead",
    "Prediction",
    "PredictionHead",
    "RecurrentDynamics",
    "ResidualDynamics",
    "horizon_weights",
]
