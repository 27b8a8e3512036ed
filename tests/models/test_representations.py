"""What can be predicted from the features of an image about the pose of the camera."""

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
    """Half of the tiles are noisy, the features are 64 numbers, and training takes 1000 updates; docs/notes/learning.md
    has other settings. Means over three seeds."""
    scores: dict[str, float] = {}
    scale = Scale()
    for seed in (1, 2, 3):
        for name, encoder, values, _ in results(scale, seed):
            scores[name] = scores.get(name, 0.0) + float(values.mean()) / 3
            if name == "I-JEPA":
                assert isinstance(encoder, IJepa)
                assert not collapse_of(encoder, look_around(256, "test", seed, scale)).collapsed
    assert scores["I-JEPA"] > scores["random features"]
    assert scores["I-JEPA"] > scores["VAE"]
    assert scores["I-JEPA"] > scores["I-JEPA before training"]
