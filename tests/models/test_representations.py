"""What the features of an image tell of the place where it was seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pamiq_exp.models import IJepa
from tests.benchmarks.bench_encoders import collapse_of, look_around, results


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_ijepa_learns_more_of_the_pose_than_a_vae_of_as_many_features_and_does_not_collapse() -> None:
    told = {}
    for name, encoder, values, _ in results(updates=400, frames=3000, side=32):
        told[name] = float(values.mean())
        if isinstance(encoder, IJepa):
            assert not collapse_of(encoder, look_around(256, 9, 32)).collapsed
    assert told["I-JEPA"] > told["VAE"]
    assert told["I-JEPA"] > told["I-JEPA before training"] + 0.1
