"""Checksums of models, states and generators."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pamiq_exp.buffers import DataBuffer, DataUser
from pamiq_exp.component import collect_state, components
from pamiq_exp.publishable import Model
from pamiq_exp.runtime.frameworks import trained_state

if TYPE_CHECKING:
    from pamiq_exp.runtime.engine import Engine


_MOST_BYTES = 1 << 30


def digest_of_models(models: Mapping[str, Model]) -> str:
    """Return a checksum of all parameters and buffers, to the bit."""
    return digest_of_state({name: trained_state(model) for name, model in models.items()})


def digest_of_state(state: object) -> str:
    """Return a checksum of nested plain data, arrays and tensors, to the bit."""
    digest = hashlib.blake2b(digest_size=12)
    _feed(digest, state)
    return digest.hexdigest()


def digest_of_training(engine: Engine) -> dict[str, str]:
    """Return checksums of what training has come to: models, trainers with their optimizers, and buffers.

    Buffers that may grow beyond a gigabyte are left out.
    """
    trainers = collect_state(engine.trainers)
    for address, part in components(engine.trainers):
        if isinstance(part, (DataUser, DataBuffer)):
            trainers.pop(address, None)
    buffers = {name: user.buffer for name, user in engine.users.items() if user.buffer.nbytes <= _MOST_BYTES}
    return {
        "models": digest_of_models(engine.models),
        "trainers": digest_of_state(trainers),
        "buffers": digest_of_state(collect_state(buffers)),
    }


def digest_of_agent(engine: Engine) -> str:
    """Return a checksum of the agent's state, to the bit."""
    return digest_of_state(collect_state(engine.interaction.agent))


def digest_of_generators() -> str:
    """Return a checksum of the global generators of torch, numpy and Python."""
    digest = hashlib.blake2b(torch.get_rng_state().numpy().data, digest_size=12)
    kind, keys, *rest = np.random.get_state(legacy=True)
    digest.update(np.asarray(keys).data)
    digest.update(repr((kind, rest, random.getstate())).encode())
    return digest.hexdigest()


def _feed(digest: hashlib.blake2b, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous()
        digest.update(f"{flat.dtype}{tuple(flat.shape)}".removeprefix("torch.").encode())
        if flat.numel():
            digest.update(flat.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, np.ndarray):
        flat_array = np.ascontiguousarray(value)
        digest.update(f"{flat_array.dtype}{flat_array.shape}".encode())
        digest.update(flat_array.tobytes())
    elif isinstance(value, Mapping):
        digest.update(b"{")
        for key, item in value.items():
            digest.update(repr(key).encode())
            _feed(digest, item)
    elif isinstance(value, (list, tuple)):
        digest.update(b"[")
        for item in value:
            _feed(digest, item)
    else:
        digest.update(json.dumps(value.item() if isinstance(value, np.generic) else value).encode())
