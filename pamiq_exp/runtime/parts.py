"""The parts that a run is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pamiq_exp.buffers import DataBuffer
from pamiq_exp.interaction import Interaction
from pamiq_exp.publishable import Model
from pamiq_exp.trainers import Trainer

Buffers: TypeAlias = Mapping[str, DataBuffer]
"""Buffers by name."""


@dataclass(frozen=True)
class Parts:
    """What a run is made of, see `launch`."""

    interaction: Interaction
    models: Mapping[str, Model] = field(default_factory=dict)
    buffers: Buffers = field(default_factory=dict)
    trainers: Mapping[str, Trainer] = field(default_factory=dict)
