"""Detection of collapsed features."""

from __future__ import annotations

import pytest
import torch

from pamiq_exp.models.encoders.ijepa import measure_collapse


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_measure_collapse_finds_no_collapse_in_independent_features() -> None:
    found = measure_collapse(drawn(200, 9, 16))
    assert found.std == pytest.approx(1, abs=0.02)
    assert found.effective_rank == pytest.approx(16, rel=0.01)
    assert found.similarity == pytest.approx(0, abs=0.01)
    assert not found.collapsed


def test_measure_collapse_detects_features_that_are_the_same_for_all_images() -> None:
    found = measure_collapse(drawn(1, 9, 16) + 1e-3 * drawn(200, 9, 16))
    assert found.std < 0.01
    assert found.similarity == pytest.approx(1, abs=1e-3)
    assert found.collapsed


def test_measure_collapse_detects_features_of_rank_one() -> None:
    found = measure_collapse(drawn(200, 9, 1) * torch.ones(16))
    assert found.effective_rank == pytest.approx(1, abs=0.01)
    assert found.collapsed


def test_measure_collapse_similarity_is_the_mean_cosine_over_pairs() -> None:
    features = drawn(5, 2, 3)
    flat = features.flatten(1)
    pairs = [torch.cosine_similarity(flat[i], flat[j], 0) for i in range(5) for j in range(5) if i != j]
    torch.testing.assert_close(measure_collapse(features).similarity, torch.stack(pairs).mean())


def test_measure_collapse_refuses_a_single_image() -> None:
    with pytest.raises(ValueError, match="2 images or more"):
        measure_collapse(drawn(1, 9, 16))
