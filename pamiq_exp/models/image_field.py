"""Which of the fields of an observation is the image to encode."""

from __future__ import annotations

from collections.abc import Mapping

from pamiq_exp.models.inputs import is_image
from pamiq_exp.spaces import ArraySpec


def choose_image(fields: Mapping[str, ArraySpec], name: str | None, asked_by: str) -> tuple[str, tuple[int, int, int]]:
    """Return the field of the image `name`, or of the only one, and its `(height, width, channels)`.

    Raises:
        ValueError: There is no such image, or there are several and none is named.
    """
    images = [field for field, spec in fields.items() if is_image(spec)]
    field = f"observation.{name}" if name is not None else images[0] if len(images) == 1 else None
    if field not in images:
        shown = ", ".join(image.removeprefix("observation.") for image in images) or "none"
        raise ValueError(
            f"{asked_by} encodes one image, but the images of this environment are: {shown}. "
            "Name one with image=..., or choose an encoder for vectors (encoder=random_features)"
        )
    height, width, depth = fields[field]["shape"]
    return field, (height, width, depth)
