"""Named random streams: one root seed, one independent stream for each component."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


def derive_seed(seed: int, name: str) -> int:
    """Return the seed of the stream `name`: a stable function of the root seed and the name.

    The result fits a non-negative 63-bit integer, so it suits torch, numpy and YAML alike. Streams of
    different names are independent, and adding one never changes another.
    """
    digest = hashlib.blake2b(f"{int(seed)}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def numpy_generator(seed: int, name: str = "") -> np.random.Generator:
    """Return a numpy generator for `seed`, or for the stream `name` below it."""
    import numpy as np  # only who draws needs it: a config is checked without

    return np.random.default_rng(derive_seed(seed, name) if name else seed)


def torch_generator(seed: int, name: str = "", device: str = "cpu") -> torch.Generator:
    """Return a torch generator for `seed`, or for the stream `name` below it."""
    import torch

    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, name) if name else seed)
    return generator


def seed_global_generators(seed: int) -> None:
    """Seed the global generators of torch, numpy and Python."""
    import numpy as np
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
