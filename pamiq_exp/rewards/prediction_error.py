"""Prediction error of a forward dynamics as intrinsic reward, also in random features and ICM features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pamiq_exp.models import Encoder, InverseDynamics, Prediction, RandomFeatures
from pamiq_exp.rewards.dynamics_reward import DynamicsReward
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.transition import PublishedModel, Transition


def squared_error(prediction: Prediction, target: Tensor) -> Tensor:
    """Mean squared error of a prediction of `(..., features)`, `(...)`; of an ensemble that of its mean."""
    mean = prediction.mean.mean(0) if prediction.mean.ndim > target.ndim else prediction.mean
    return (target - mean).square().mean(-1)


class PredictionError(DynamicsReward):
    """r = mean over the features of (z_{t+1} - f(z_t, a_t, memory))^2.

    Unpredictable input keeps this reward high indefinitely. The error is measured in the latent space of the agent's
    encoder: pixels, random features, a VAE, I-JEPA. The prediction of an ensemble is the mean of its members.

    Sources: Schmidhuber 1991, A possibility for implementing curiosity and boredom; Pathak et al. 2017,
    Curiosity-driven exploration by self-supervised prediction.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics.
    """

    name = "prediction_error"

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        predicted = self.predict(transition)
        if predicted is None:
            return None
        error: NDArray[np.float32] = squared_error(*predicted).float().cpu().numpy()
        return error


class FeatureError(PredictionError):
    """Base class of prediction errors that are defined by their features: another kind of encoder is an error.

    Args:
        normalizer: How the raw reward is scaled.
        dynamics: Name of the forward dynamics.
        encoder: Name of the agent's encoder.
    """

    features: type[Encoder]
    """The kind of encoder that gives these features."""

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
    """Prediction error in fixed random features (Burda et al. 2018): r = mean (phi(o_{t+1}) - f(phi(o_t), a_t))^2.

    phi cannot collapse, and encodes all noise. Needs the encoder `random_features`, whose features are whitened.

    Source: Burda et al. 2018, Large-scale study of curiosity-driven learning, section 2.2.
    """

    name = "random_features"
    features = RandomFeatures


class InverseFeatureError(FeatureError):
    """Intrinsic curiosity module (Pathak et al. 2017): r = eta / 2 mean (phi(o_{t+1}) - f(phi(o_t), a_t))^2.

    The features phi are trained by inverse dynamics alone; the forward dynamics has no gradient into them. Noise that
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
