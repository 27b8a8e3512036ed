"""The state of the global generators as plain data."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pamiq_exp.runtime.trace.blocks import TraceError


def generators_state() -> dict[str, Any]:
    """Return the state of the global generators of torch, numpy and Python."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
        "numpy": [kind, np.asarray(keys, np.uint32).tobytes().hex(), position, has_gauss, cached],
        "python": [version, list(internal), gauss_next],
    }


def restore_generators(state: Mapping[str, Any]) -> None:
    """Restore what `generators_state` returned. Raises TraceError for anything else."""
    try:
        torch.set_rng_state(torch.frombuffer(bytearray.fromhex(state["torch"]), dtype=torch.uint8))
        kind, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((kind, np.frombuffer(bytes.fromhex(keys), np.uint32), position, has_gauss, cached))
        version, internal, gauss_next = state["python"]
        random.setstate((version, tuple(internal), gauss_next))
    except (KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise TraceError(f"the trace is damaged: the state of a generator: {error}") from error
