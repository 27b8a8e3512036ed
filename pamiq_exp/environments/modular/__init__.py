"""Environments made of sensors and actuators, for real worlds."""

from pamiq_exp.environments.modular.environment import SensorEnvironment
from pamiq_exp.environments.modular.parts import Actuator, Sensor

__all__ = [
    "Actuator",
    "Sensor",
    "SensorEnvironment",
]
