"""The noise world: rooms whose surfaces may show unpredictable pictures."""

from pamiq_exp.environments.noise_world.actions import ActionSet
from pamiq_exp.environments.noise_world.options import ImageOptions, NoiseOptions, Panel
from pamiq_exp.environments.noise_world.truth import GroundTruth
from pamiq_exp.environments.noise_world.world import NoiseWorld

__all__ = [
    "ActionSet",
    "GroundTruth",
    "ImageOptions",
    "NoiseOptions",
    "NoiseWorld",
    "Panel",
]
