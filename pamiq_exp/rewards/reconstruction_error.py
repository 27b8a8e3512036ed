"""Reconstruction error of a VAE as intrinsic reward."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pamiq_exp.models import ImageVae
from pamiq_exp.rewards.normalizer import Normalizer
from pamiq_exp.rewards.reward import Reward
from pamiq_exp.rewards.transition import NeededModel, PublishedModel, Transition


class ReconstructionError(Reward):
    """r = mean squared error of a VAE's reconstruction of the image in o_{t+1}.

    High for views that the VAE has not learned yet; no transition is predicted.

    Args:
        normalizer: How the raw reward is scaled.
        encoder: Name of the VAE; it must be the agent's encoder.
    """

    name = "reconstruction_error"
    needs_latents = True

    def __init__(self, normalizer: Normalizer | None = None, encoder: str = "encoder") -> None:
        super().__init__(normalizer)
        self._encoder = NeededModel(encoder, ImageVae, self)

    def attach(self, models: Mapping[str, PublishedModel]) -> None:
        """See the base class."""
        self._encoder.attach(models)

    def compute(self, transition: Transition) -> NDArray[np.float32] | None:
        """See the base class."""
        vae = self._encoder.module
        if transition.next_latent is None:
            return None
        error = vae.reconstruction_error(transition.observation, transition.next_latent)
        reward: NDArray[np.float32] = error.float().cpu().numpy()
        return reward
