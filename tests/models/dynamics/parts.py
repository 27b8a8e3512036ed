"""Networks and sequences that the tests of dynamics share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pamiq_exp.models.cores import Gru, QGru, QLstm, RecurrentCore, SioConv, SioConvPS
from pamiq_exp.spaces import ActionSpec

ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [2], "dtype": "int64", "nvec": [3, 2]}
BOX: ActionSpec = {"kind": "box", "shape": [2], "dtype": "float32", "low": [-1.0, -1.0], "high": [1.0, 1.0]}
FEATURES = 6

CORES: dict[str, Callable[..., RecurrentCore]] = {
    "sioconv": lambda width, depth=1: RecurrentCore(partial(SioConv, heads=2, gain=1.0), width, depth, expansion=2),
    "sioconv_ps": partial(RecurrentCore, SioConvPS),
    "qlstm": partial(RecurrentCore, QLstm),
    "qgru": partial(RecurrentCore, QGru),
    "gru": partial(RecurrentCore, Gru),
}


def sequences(batch: int, length: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "latent": torch.randn(batch, length, FEATURES, generator=generator),
        "action": torch.randint(0, 2, (batch, length, 2), generator=generator),
        "ended": torch.zeros(batch, length, dtype=torch.bool),
    }
