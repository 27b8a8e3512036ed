"""Choice of an encoder by the observation space."""

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
    """Make an encoder of square images if the observation space has one, another encoder otherwise.

    So the config of an agent for images works with any environment.

    Args:
        observation: The observation space of one environment: `${spaces.observation}`.
        features: Size of a latent vector, of either encoder.
        multiple: The side of the image must be a multiple of it, in pixels.
        image: Makes an encoder from `observation` and `features`, if there is exactly one such image.
        other: Makes an encoder from `observation` and `features` otherwise.
        tokens, token_width: For interpolations of the config: `features` is their product.

    Raises:
        ValueError: If `features` are not `tokens` times `token_width`.
    """
    if token_width is not None and tokens * token_width != features:
        raise ValueError(f"{tokens} tokens of {token_width} numbers are not {features} features")
    images = [spec["shape"] for spec in observation_fields(observation).values() if is_image(spec)]
    suits = len(images) == 1 and images[0][0] == images[0][1] and images[0][0] % multiple == 0
    return (image if suits else other)(observation=observation, features=features)
