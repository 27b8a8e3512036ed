"""Random features are whitened by the first frames and never change afterwards."""

from __future__ import annotations

import copy

import pytest
import torch

from pamiq_exp.models import RandomFeatures

OBSERVATION = {"image": {"shape": [16, 16, 3], "dtype": "uint8"}}


def frames(count: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"observation.image": torch.randint(0, 256, (count, 16, 16, 3), dtype=torch.uint8, generator=generator)}


def trained(warmup: int = 256) -> RandomFeatures:
    encoder = RandomFeatures(OBSERVATION, features=8, channels=(4, 4), warmup=warmup)
    for seed in range(4):
        encoder.training_step(frames(64, seed), 0)
    return encoder


def test_random_features_are_whitened_after_warm_up() -> None:
    encoder = trained()
    latents = encoder(frames(256, seed=9))
    torch.testing.assert_close(latents.mean(0), torch.zeros(8), atol=0.3, rtol=0)
    torch.testing.assert_close(latents.std(0), torch.ones(8), atol=0.2, rtol=0)


def test_random_features_are_warmed_up_and_frozen_after_the_first_frames() -> None:
    encoder = RandomFeatures(OBSERVATION, features=8, channels=(4,), warmup=100)
    encoder.training_step(frames(64), 0)
    assert not encoder.warmed_up
    assert encoder.trainable
    encoder.training_step(frames(64, 1), 1)
    assert encoder.warmed_up
    assert not encoder.trainable
    assert encoder.frozen
    before = copy.deepcopy(encoder.state_dict())
    encoder.training_step(frames(64, 2), 2)
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_random_features_have_no_trainable_parameters() -> None:
    encoder = RandomFeatures(OBSERVATION)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.configure_optimizers() is None


def test_random_features_restore_their_warm_up_and_statistics() -> None:
    encoder = trained()
    other = RandomFeatures(OBSERVATION, features=8, channels=(4, 4), warmup=256)
    other.load_state_dict(encoder.state_dict())
    assert other.warmed_up
    torch.testing.assert_close(other(frames(3)), encoder(frames(3)), rtol=0, atol=0)


def test_random_features_encode_sequences_like_single_frames() -> None:
    encoder = trained()
    batch = frames(6)
    latents = encoder(batch)
    sequences = {name: value.unflatten(0, (2, 3)) for name, value in batch.items()}
    torch.testing.assert_close(encoder(sequences).flatten(0, 1), latents)


def test_random_features_refuse_a_warm_up_of_one_frame() -> None:
    with pytest.raises(ValueError, match="warmup"):
        RandomFeatures(OBSERVATION, warmup=1)
