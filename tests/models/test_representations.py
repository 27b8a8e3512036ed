"""What the features of an image tell of the place where it was seen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pamiq_exp.models import IJepa
from tests.benchmarks.bench_encoders import Scale, collapse_of, look_around, results


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_i_jepa_features_predict_the_pose_better_than_random_features_and_a_vae() -> None:
    """Half of the tiles are noisy, there is room for 64 numbers, and 1000 updates are all: docs/notes/learning.md says
    where it is otherwise. Means over three seeds."""
    told: dict[str, float] = {}
    scale = Scale()
    for seed in (1, 2, 3):
        for name, encoder, values, _ in results(scale, seed):
            told[name] = told.get(name, 0.0) + float(values.mean()) / 3
            if name == "I-JEPA":
                assert isinstance(encoder, IJepa)
                assert not collapse_of(encoder, look_around(256, "test", seed, scale)).collapsed
    assert told["I-JEPA"] > told["random features"]
    assert told["I-JEPA"] > told["VAE"]
    assert told["I-JEPA"] > told["I-JEPA before training"]
