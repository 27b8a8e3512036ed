"""Networks read images of any size, vectors, and several fields at once."""

from __future__ import annotations

import pytest
import torch

from pamiq_exp.models.inputs import leading_shape, observation_fields, scale
from pamiq_exp.models.layers import (
    ConvolutionalStack,
    FieldsNetwork,
    activation,
    join_patches,
    split_patches,
)
from pamiq_exp.spaces import ArraySpec

SIZES = [(1, 1, 1), (7, 7, 3), (9, 40, 3), (64, 64, 3), (144, 144, 1), (210, 160, 3), (129, 400, 3)]


def image(shape: tuple[int, ...]) -> ArraySpec:
    return {"shape": list(shape), "dtype": "uint8"}


@pytest.mark.parametrize("shape", SIZES)
def test_images_of_any_size_become_a_vector_of_the_promised_width(shape: tuple[int, ...]) -> None:
    stack = ConvolutionalStack(shape, (4, 8), "relu")
    output = stack(torch.randint(0, 256, (2, *shape), dtype=torch.uint8))
    assert output.shape == (2, stack.width)
    assert stack.width <= 8 * 8 * 8


def test_a_small_grid_keeps_its_cells() -> None:
    assert ConvolutionalStack((7, 7, 3), (4, 8, 16), "relu").width == 7 * 7 * 16


def test_squares_that_are_cut_and_joined_again_are_the_map() -> None:
    maps = torch.randn(2, 6, 9, 4)
    assert torch.equal(split_patches(maps, 3)[1, 1, 2].view(3, 3, 4), maps[1, 3:6, 6:9])
    assert torch.equal(join_patches(split_patches(maps, 3), 3), maps)


def test_an_image_that_cannot_be_cut_into_squares_is_refused() -> None:
    with pytest.raises(ValueError, match="squares of 4 pixels"):
        ConvolutionalStack((40, 42, 3), (4, 8), "relu", patch=4)
    assert ConvolutionalStack((40, 40, 3), (4, 8), "relu", patch=4).width == 5 * 5 * 8


def test_every_field_reaches_the_output() -> None:
    fields = observation_fields(
        {"image": image((8, 8, 3)), "vector": {"shape": [3], "dtype": "float32"}, "map": image((5, 6, 1))}
    )
    network = FieldsNetwork(fields, (4,), (16,), "tanh")
    batch = {name: torch.rand(1, *spec["shape"]).requires_grad_() for name, spec in fields.items()}
    network(batch).sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in batch.values())


def test_leading_axes_do_not_change_the_result() -> None:
    fields = observation_fields({"image": image((12, 12, 3)), "vector": {"shape": [2], "dtype": "float32"}})
    network = FieldsNetwork(fields, (4,), (16,), "relu")
    batch = {
        "observation.image": torch.randint(0, 256, (2, 3, 12, 12, 3), dtype=torch.uint8),
        "observation.vector": torch.randn(2, 3, 2),
    }
    together = network(batch)
    assert together.shape == (2, 3, 16)
    one = network({name: value[1, 2] for name, value in batch.items()})
    assert one.shape == (16,)
    torch.testing.assert_close(one, together[1, 2])


def test_bytes_become_floats_from_0_to_1_and_floats_stay() -> None:
    torch.testing.assert_close(scale(torch.tensor([0, 51, 255], dtype=torch.uint8)), torch.tensor([0.0, 0.2, 1.0]))
    values = torch.tensor([3.5])
    assert scale(values) is values
    assert scale(torch.tensor([True])).dtype == torch.float32
    assert scale(torch.tensor([0.5], dtype=torch.float64)).dtype == torch.float32


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"observation.a": torch.zeros(2, 3)}, "observation.b"),
        ({"observation.a": torch.zeros(2, 4), "observation.b": torch.zeros(2, 1)}, "observation.a"),
        ({"observation.a": torch.zeros(2, 3), "observation.b": torch.zeros(3, 1)}, "leading"),
    ],
)
def test_a_batch_of_another_form_is_refused_by_the_name_of_the_field(
    batch: dict[str, torch.Tensor], message: str
) -> None:
    fields = observation_fields({"a": {"shape": [3], "dtype": "float32"}, "b": {"shape": [1], "dtype": "float32"}})
    with pytest.raises((KeyError, ValueError), match=message):
        leading_shape(batch, fields)


def test_an_unknown_activation_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="leaky_relu"):
        activation("leaky")  # type: ignore[arg-type]
