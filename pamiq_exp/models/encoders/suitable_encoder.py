"""An encoder for whatever an environment shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pamiq_exp.models.encoders.encoder import Encoder
from pamiq_exp.models.nn.inputs import is_image, observation_fields


def suitable_encoder(
    observation: Mapping[str, object],
    features: int,
    multiple: int,
    image: Callable[..., Encoder],
    other: Callable[..., Encoder],
    tokens: int = 1,
    token_width: int | None = None,
) -> Encoder:
    """Make the encoder of square images where the environment shows one, and another one where it does not.

    So an agent with eyes can be put into any world, by one override.

    Args:
        observation: What one environment shows: `${spaces.observation}`.
        features: Numbers in one latent vector, of either encoder.
        multiple: Pixels that the sides of an image must be a multiple of.
        image: Makes an encoder from `observation` and `features`, if there is exactly one such image.
        other: Makes an encoder from `observation` and `features` otherwise.
        tokens, token_width: For other parts of the config to read: what `features` consists of.

    Raises:
        ValueError: If `features` are not `tokens` times `token_width`.
    """
    if token_width is not None and tokens * token_width != features:
        raise ValueError(f"{tokens} tokens of {token_width} numbers are not {features} features")
    images = [spec["shape"] for spec in observation_fields(observation).values() if is_image(spec)]
    suits = len(images) == 1 and images[0][0] == images[0][1] and images[0][0] % multiple == 0
    return (image if suits else other)(observation=observation, features=features)
