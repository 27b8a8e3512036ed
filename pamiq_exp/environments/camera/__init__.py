"""Cameras, real and virtual, as sensors."""

from pamiq_exp.environments.camera.sensor import Camera

__all__ = [
    "Camera",
]
