"""Curiosity about what was not foreseen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.models import Encoder, InverseDynamics, RandomFeatures
from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.transition import PublishedModel, Transition


class PredictionError(DynamicsReward):
    """r = mean over the features of (z_{t+1} - f(z_t, a_t, memory))^2.

    Captured by anything that nobody can predict: that is the question this project asks. The space in which it
    compares is that of the agent's encoder: pixels, random features, a VAE, I-JEPA. An ensemble predicts what its
    members predict on average.

    Sources: Schmidhuber 1991, A possibility for implementing curiosity and boredom; Pathak et al. 2017,
    Curiosity-driven exploration by self-supervised prediction.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the model that predicts.
    """

    name = "prediction_error"

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        foreseen = self.foresee(transition)
        if foreseen is None:
            return None
        law, target = foreseen
        mean = law.mean.mean(0) if law.mean.ndim > target.ndim else law.mean
        error: NDArray[np.float32] = (target - mean).square().mean(-1).float().cpu().numpy()
        return error


class FeatureError(PredictionError):
    """Base class of prediction errors whose name stands for the features in which they are measured.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the model that predicts.
        encoder: Name of the agent's encoder.
    """

    features: type[Encoder]
    """The kind of encoder that makes these features."""

    def __init__(
        self, normalizer: Normalizer | None = None, dynamics: str = "dynamics", encoder: str = "encoder"
    ) -> None:
        super().__init__(normalizer, dynamics)
        self._encoder_name = encoder

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class. Raises ValueError for features of another kind."""
        super().attach(models)
        found = models[self._encoder_name].module if self._encoder_name in models else None
        if found is not None and not isinstance(found, self.features):
            raise ValueError(
                f"reward={self.name} is the prediction error in the features of {self.features.__name__}, but the "
                f"encoder '{self._encoder_name}' is a {type(found).__name__}: choose encoder={self.name} with it, or "
                "reward=prediction_error, which takes any features"
            )


class RandomFeatureError(FeatureError):
    """The prediction error in the space of fixed random features: r = mean (phi(o_{t+1}) - f(phi(o_t), a_t))^2.

    phi cannot collapse, and it sees all noise. Needs the encoder `random_features`, whose features are whitened.

    Source: Burda et al. 2018, Large-scale study of curiosity-driven learning, section 2.2.
    """

    name = "random_features"
    features = RandomFeatures


class InverseFeatureError(FeatureError):
    """r = eta / 2 mean (phi(o_{t+1}) - f(phi(o_t), a_t))^2 in features that tell which action was taken.

    The features learn by inverse dynamics alone; the forward model learns on them without a gradient. Noise that
    the agent causes is encoded like everything else that it causes.

    Source: Pathak et al. 2017, Curiosity-driven exploration by self-supervised prediction, equations 2 to 6.
    eta is absorbed by the normalizer.
    """

    name = "icm"
    features = InverseDynamics

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        error = super().compute(transition)
        return None if error is None else error * np.float32(0.5)
