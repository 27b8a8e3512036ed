"""Curiosity in a space that never moves."""

from __future__ import annotations

from pamiq_exp.models import RandomFeatures
from pamiq_exp.rewards.prediction_error import FeatureError


class RandomFeatureError(FeatureError):
    """The prediction error in the space of fixed random features: r = mean (phi(o_{t+1}) - f(phi(o_t), a_t))^2.

    phi cannot collapse, and it sees all noise. Needs the encoder `random_features`, whose features are whitened.

    Source: Burda et al. 2018, Large-scale study of curiosity-driven learning, section 2.2.
    """

    name = "random_features"
    features = RandomFeatures
