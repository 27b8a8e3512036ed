"""Noise over what any pixel environment shows, as Gymnasium wrappers."""

from pamiq_exp.environments.overlays.noisy_tv import NoisyTV
from pamiq_exp.environments.overlays.overlay import PixelOverlay
from pamiq_exp.environments.overlays.random_boxes import RandomBoxes
from pamiq_exp.environments.overlays.view_noise import ViewNoise

__all__ = [
    "NoisyTV",
    "PixelOverlay",
    "RandomBoxes",
    "ViewNoise",
]
