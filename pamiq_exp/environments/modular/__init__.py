"""A real world put together from what senses it and what moves in it."""

from pamiq_exp.environments.modular.environment import SensorEnvironment
from pamiq_exp.environments.modular.parts import Actuator, Sensor

__all__ = [
    "Actuator",
    "Sensor",
    "SensorEnvironment",
]
