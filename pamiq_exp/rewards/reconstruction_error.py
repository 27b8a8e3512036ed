"""Curiosity about what could not be painted again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.models import ImageVae
from pamiq_exp.rewards.normaliser import Normaliser
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import PublishedModel, Transition, published


class ReconstructionError(Reward):
    """r = mean squared error of the new image, painted by a VAE from its latent.

    High for views that the VAE has not learned yet, whatever led to them.

    Args:
        normaliser: How the raw reward is scaled.
        encoder: Name of the VAE; it must be the agent's encoder.
    """

    name = "reconstruction_error"
    needs_latents = True

    def __init__(self, normaliser: Normaliser | None = None, encoder: str = "encoder") -> None:
        super().__init__(normaliser)
        self._encoder_name = encoder
        self._encoder: PublishedModel | None = None

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._encoder = published(models, self._encoder_name, self)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        if self._encoder is None:
            raise RuntimeError("ReconstructionError has no model yet: attach() comes before the first step")
        vae = self._encoder.module
        if not isinstance(vae, ImageVae):
            raise TypeError(f"the model '{self._encoder_name}' is a {type(vae).__name__}, not an ImageVae")
        if transition.next_latent is None:
            return None
        error = vae.reconstruction_error(transition.observation, transition.next_latent)
        reward: NDArray[np.float32] = error.float().cpu().numpy()
        return reward
