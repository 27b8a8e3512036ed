"""Environments. Each is loaded when its name is first used, so that none needs the packages of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamiq_exp.lazy import lazy_names

if TYPE_CHECKING:
    from pamiq_exp.environments.camera import Camera
    from pamiq_exp.environments.data.fixed_poses import record_at_poses
    from pamiq_exp.environments.data.random_walk import record_random_transitions
    from pamiq_exp.environments.gymnasium_adapter import GymnasiumEnvironment, gymnasium_environment
    from pamiq_exp.environments.gymnasium_adapter.wrappers import ShownActionMask
    from pamiq_exp.environments.modular import Actuator, SafeActuator, Sensor, SensorEnvironment
    from pamiq_exp.environments.noise_world import NoiseWorld
    from pamiq_exp.environments.overlays import NoisyTV, PixelOverlay, RandomBoxes, ViewNoise
    from pamiq_exp.environments.play import NoDisplayError, Play
    from pamiq_exp.environments.recorded import PictureFolder, RecordedRun, VideoFiles
    from pamiq_exp.environments.vrchat import VRChatAvatar
    from pamiq_exp.environments.wrappers.action_repeat import ActionRepeat, repeated
    from pamiq_exp.environments.wrappers.delay import DelayedActions, delayed
    from pamiq_exp.environments.wrappers.frame_stack import FrameStack
    from pamiq_exp.environments.wrappers.free_running import FreeRunning
    from pamiq_exp.environments.wrappers.symbols import OneHotSymbols

__all__ = [
    "ActionRepeat",
    "Actuator",
    "Camera",
    "DelayedActions",
    "FrameStack",
    "FreeRunning",
    "GymnasiumEnvironment",
    "NoDisplayError",
    "NoiseWorld",
    "NoisyTV",
    "OneHotSymbols",
    "PictureFolder",
    "PixelOverlay",
    "Play",
    "RandomBoxes",
    "RecordedRun",
    "SafeActuator",
    "Sensor",
    "SensorEnvironment",
    "ShownActionMask",
    "VRChatAvatar",
    "VideoFiles",
    "ViewNoise",
    "delayed",
    "gymnasium_environment",
    "record_at_poses",
    "record_random_transitions",
    "repeated",
]

__getattr__ = lazy_names(
    __name__,
    {
        "Actuator": "modular",
        "Camera": "camera",
        "ActionRepeat": "wrappers.action_repeat",
        "DelayedActions": "wrappers.delay",
        "FrameStack": "wrappers.frame_stack",
        "FreeRunning": "wrappers.free_running",
        "GymnasiumEnvironment": "gymnasium_adapter",
        "NoDisplayError": "play",
        "NoiseWorld": "noise_world",
        "NoisyTV": "overlays",
        "OneHotSymbols": "wrappers.symbols",
        "PictureFolder": "recorded",
        "PixelOverlay": "overlays",
        "Play": "play",
        "RandomBoxes": "overlays",
        "RecordedRun": "recorded",
        "SafeActuator": "modular",
        "Sensor": "modular",
        "SensorEnvironment": "modular",
        "ShownActionMask": "gymnasium_adapter.wrappers",
        "VRChatAvatar": "vrchat",
        "VideoFiles": "recorded",
        "ViewNoise": "overlays",
        "delayed": "wrappers.delay",
        "gymnasium_environment": "gymnasium_adapter",
        "record_at_poses": "data.fixed_poses",
        "record_random_transitions": "data.random_walk",
        "repeated": "wrappers.action_repeat",
    },
)
