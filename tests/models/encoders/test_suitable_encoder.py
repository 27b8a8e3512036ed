"""The encoder that is chosen for an observation."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pamiq_exp.models import IJepa, RandomFeatures, suitable_encoder

IMAGE = partial(IJepa, tokens=16, token_width=8, patch=8, width=16, depth=1, heads=2, predictor_width=16,
                predictor_depth=1, predictor_heads=2)  # fmt: skip


def field(*shape: int) -> dict[str, Any]:
    return {"shape": list(shape), "dtype": "uint8" if len(shape) == 3 else "float32"}


def test_suitable_encoder_chooses_ijepa_only_for_one_square_image_of_a_suitable_size() -> None:
    other = partial(RandomFeatures, hidden=(16,))
    observations: list[tuple[dict[str, Any], type]] = [
        ({"image": field(64, 64, 3)}, IJepa),
        ({"image": field(32, 32, 3), "vector": field(4)}, IJepa),
        ({"image": field(40, 40, 3)}, RandomFeatures),
        ({"image": field(64, 96, 3)}, RandomFeatures),
        ({"image": field(7, 7, 3)}, RandomFeatures),
        ({"vector": field(4)}, RandomFeatures),
        ({"left": field(64, 64, 3), "right": field(64, 64, 3)}, RandomFeatures),
    ]
    for observation, kind in observations:
        encoder = suitable_encoder(observation, 128, multiple=32, image=IMAGE, other=other, tokens=16, token_width=8)
        assert type(encoder) is kind, observation
        assert encoder.features == 128, observation


def test_suitable_encoder_refuses_features_other_than_tokens_times_token_width() -> None:
    with pytest.raises(ValueError, match="not 128 features"):
        suitable_encoder({}, 128, 32, IMAGE, RandomFeatures, tokens=16, token_width=9)
