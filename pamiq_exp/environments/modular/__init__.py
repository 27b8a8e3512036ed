"""Environments made of sensors and actuators, for real worlds."""

from pamiq_exp.environments.modular.environment import SensorEnvironment
from pamiq_exp.environments.modular.parts import Actuator, Sensor
from pamiq_exp.environments.modular.safety import SafeActuator

__all__ = [
    "Actuator",
    "SafeActuator",
    "Sensor",
    "SensorEnvironment",
]
