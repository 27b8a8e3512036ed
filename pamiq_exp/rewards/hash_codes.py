"""SimHash codes of latent vectors (Charikar 2002)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from pamiq_exp.seeding import torch_generator


class HashCodes:
    """SimHash: the signs of random projections of a vector as a number.

    Vectors at a small angle share most signs, so a code is a cell of the latent space.

    Source: Charikar 2002, Similarity estimation techniques from rounding algorithms, section 3.

    Args:
        bits: Projections; there are 2^bits codes.
        max_bits: Largest allowed number of bits.
        seed: Of the projections.
    """

    def __init__(self, bits: int, max_bits: int, seed: int) -> None:
        if not 1 <= bits <= max_bits:
            raise ValueError(f"bits must be from 1 to {max_bits}, not {bits}")
        self.bits = int(bits)
        self._seed = seed
        self._projection: torch.Tensor | None = None

    def __call__(self, latent: torch.Tensor) -> NDArray[np.int64]:
        """Return the code of each latent vector, `(environments, features)` -> `(environments,)`."""
        if self._projection is None or len(self._projection) != latent.shape[-1]:
            generator = torch_generator(self._seed)
            self._projection = torch.randn(latent.shape[-1], self.bits, generator=generator)
        projection = self._projection.to(latent.device)
        signs = (latent.float() @ projection > 0).cpu().numpy()
        codes: NDArray[np.int64] = signs @ (1 << np.arange(self.bits, dtype=np.int64))
        return codes
