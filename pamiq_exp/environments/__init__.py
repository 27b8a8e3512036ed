"""Worlds to act in. Each is loaded when its name is first used: one does not need what another needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.environments.camera import Camera
    from pamiq_exp.environments.gymnasium_adapter import GymnasiumEnvironment
    from pamiq_exp.environments.modular import Actuator, Sensor, SensorEnvironment
    from pamiq_exp.environments.noise_world import NoiseWorld
    from pamiq_exp.environments.overlays import NoisyTV, PixelOverlay, RandomBoxes, ViewNoise
    from pamiq_exp.environments.recorded import PictureFolder, RecordedRun, VideoFiles
    from pamiq_exp.environments.vrchat import VRChatBody

__all__ = [
    "Actuator",
    "Camera",
    "GymnasiumEnvironment",
    "NoiseWorld",
    "NoisyTV",
    "PictureFolder",
    "PixelOverlay",
    "RandomBoxes",
    "RecordedRun",
    "Sensor",
    "SensorEnvironment",
    "VRChatBody",
    "VideoFiles",
    "ViewNoise",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Actuator": "modular",
        "Camera": "camera",
        "GymnasiumEnvironment": "gymnasium_adapter",
        "NoiseWorld": "noise_world",
        "NoisyTV": "overlays",
        "PictureFolder": "recorded",
        "PixelOverlay": "overlays",
        "RandomBoxes": "overlays",
        "RecordedRun": "recorded",
        "Sensor": "modular",
        "SensorEnvironment": "modular",
        "VRChatBody": "vrchat",
        "VideoFiles": "recorded",
        "ViewNoise": "overlays",
    },
)
