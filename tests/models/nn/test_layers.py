"""Networks read images of any size, vectors, and several fields at once."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from pamiq_exp.models.nn.inputs import leading_shape, observation_fields, scale
from pamiq_exp.models.nn.layers import ConvolutionalStack, FieldsNetwork, activation, join_patches, split_patches
from pamiq_exp.spaces import ArraySpec, describe_array, flatten_specs

SIZES = [(1, 1, 1), (7, 7, 3), (9, 40, 3), (64, 64, 3), (144, 144, 1), (210, 160, 3), (129, 400, 3)]


def image(shape: tuple[int, ...]) -> ArraySpec:
    return {"shape": list(shape), "dtype": "uint8"}


def test_fields_network_reads_scalars_and_vectors_in_batches_of_any_size() -> None:
    fields = {"depth": ArraySpec(shape=[], dtype="float32"), "vector": ArraySpec(shape=[2], dtype="float32")}
    for count, normalize in itertools.product((0, 1, 5), (False, True)):
        network = FieldsNetwork(fields, (), (), "relu", normalize=normalize)
        batch = {"depth": torch.randn(count), "vector": torch.randn(count, 2)}
        if count:
            network.count_inputs(batch)
        read = network(batch)
        assert read.shape == (count, 3), (count, normalize)
        assert torch.allclose(read, torch.cat([batch["depth"][:, None], batch["vector"]], 1)), (count, normalize)


def test_convolutional_stack_encodes_images_of_any_size_to_its_width() -> None:
    for shape in SIZES:
        stack = ConvolutionalStack(shape, (4, 8), "relu")
        output = stack(torch.randint(0, 256, (2, *shape), dtype=torch.uint8))
        assert output.shape == (2, stack.width), shape
        assert stack.width <= 8 * 8 * 8, shape


def test_convolutional_stack_keeps_the_cells_of_a_small_grid() -> None:
    assert ConvolutionalStack((7, 7, 3), (4, 8, 16), "relu").width == 7 * 7 * 16


def test_join_patches_inverts_split_patches() -> None:
    maps = torch.randn(2, 6, 9, 4)
    assert torch.equal(split_patches(maps, 3)[1, 1, 2].view(3, 3, 4), maps[1, 3:6, 6:9])
    assert torch.equal(join_patches(split_patches(maps, 3), 3), maps)


def test_convolutional_stack_refuses_images_that_patches_do_not_divide() -> None:
    with pytest.raises(ValueError, match="squares of 4 pixels"):
        ConvolutionalStack((40, 42, 3), (4, 8), "relu", patch=4)
    assert ConvolutionalStack((40, 40, 3), (4, 8), "relu", patch=4).width == 5 * 5 * 8


def test_fields_network_output_depends_on_every_field() -> None:
    fields = observation_fields(
        {"image": image((8, 8, 3)), "vector": {"shape": [3], "dtype": "float32"}, "map": image((5, 6, 1))}
    )
    network = FieldsNetwork(fields, (4,), (16,), "tanh")
    batch = {name: torch.rand(1, *spec["shape"]).requires_grad_() for name, spec in fields.items()}
    network(batch).sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in batch.values())


def test_fields_network_keeps_leading_axes() -> None:
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


def spec_of(space: gymnasium.spaces.Box) -> ArraySpec:
    """As it reaches a model: described, and flattened once for the fields of a buffer and once for the model."""
    fields = flatten_specs({"observation": {"value": describe_array(space)}})
    return flatten_specs(fields)["observation.value"]


BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
BIG = float(np.finfo(np.float32).max)


def test_scale_multiplies_images_with_bounds_0_to_255_by_exactly_1_over_255() -> None:
    pixels = torch.from_numpy(BYTES)
    expected = pixels.float().mul_(1 / 255)
    assert torch.equal(scale(pixels, spec_of(gymnasium.spaces.Box(0, 255, (16, 16, 1), np.uint8))), expected)
    assert torch.equal(scale(pixels, {"shape": [16, 16, 1], "dtype": "uint8"}), expected), "without declared bounds"
    floats = spec_of(gymnasium.spaces.Box(0, 255, (16, 16, 1), np.float32))
    assert torch.equal(scale(pixels.float(), floats), expected), "pictures of floats in the same bounds"


def test_scale_leaves_numbers_without_bounds_unchanged() -> None:
    values = torch.tensor([3.5])
    assert scale(values, {"shape": [1], "dtype": "float32"}) is values
    assert scale(torch.tensor([True]), {"shape": [1], "dtype": "bool"}).dtype == torch.float32
    assert scale(values.double(), {"shape": [1], "dtype": "float64"}).dtype == torch.float32


BOUNDS: list[tuple[float, float, tuple[int, ...], Any, list[float], list[float]]] = [
    (0, 1, (2, 2, 1), np.uint8, [0, 1], [0.0, 1.0]),
    (0, 10, (2, 2, 1), np.uint8, [0, 5], [0.0, 0.5]),
    (100, 200, (2, 2, 1), np.uint8, [100, 150], [0.0, 0.5]),
    (-1, 1, (2, 2, 1), np.float32, [-1, 0.5], [0.0, 0.75]),
    (0, 65535, (2, 2, 1), np.uint16, [0, 65535], [0.0, 1.0]),
    (-1, 1, (3,), np.float32, [-1, 0.5], [-1.0, 0.5]),
    (0, 1, (3,), np.float32, [0, 0.5], [0.0, 0.5]),
    (0, 1000, (3,), np.float32, [250, 1000], [0.25, 1.0]),
    (-3, -1, (3,), np.float32, [-3, -2], [0.0, 0.5]),
    (-2, 6, (3,), np.float32, [2, 6], [0.0, 1.0]),
    (0, 4, (3,), np.int64, [1, 4], [0.25, 1.0]),
    (-np.inf, np.inf, (3,), np.float32, [7, -7], [7.0, -7.0]),
    (0, np.inf, (3,), np.float32, [7, 0], [7.0, 0.0]),
    (-np.inf, 5, (3,), np.float32, [5, -7], [5.0, -7.0]),
    (-BIG, BIG, (3,), np.float32, [7, -7], [7.0, -7.0]),
    (0, np.iinfo(np.int64).max, (3,), np.int64, [7, 0], [7.0, 0.0]),
    (3, 3, (3,), np.float32, [3, 3], [3.0, 3.0]),
]
"""The bounds, shape and type of a space, two values, and what they are scaled to."""


def test_scale_uses_the_declared_bounds() -> None:
    for low, high, shape, dtype, values, expected in BOUNDS:
        spec = spec_of(gymnasium.spaces.Box(low, high, shape, dtype))
        stored = torch.tensor(np.broadcast_to(np.array(values, dtype)[:, None], (2, np.prod(shape))).reshape(2, *shape))
        scaled = scale(stored, spec)
        assert scaled.dtype == torch.float32, (low, high, shape, dtype)
        assert [scaled[0].unique().tolist(), scaled[1].unique().tolist()] == [
            pytest.approx([number]) for number in expected
        ], (low, high, shape, dtype)


def test_scale_uses_separate_bounds_for_each_number_of_a_vector() -> None:
    space = gymnasium.spaces.Box(np.float32([-1, -8, 0, -np.inf]), np.float32([1, 8, 100, np.inf]))
    values = torch.tensor([[0.5, 4.0, 25.0, 7.0], [-1.0, -8.0, 100.0, -7.0]])
    expected = torch.tensor([[0.5, 0.5, 0.25, 7.0], [-1.0, -1.0, 1.0, -7.0]])
    torch.testing.assert_close(scale(values, spec_of(space)), expected)
    network = FieldsNetwork({"observation.value": spec_of(space)}, (), (), "relu")
    torch.testing.assert_close(network({"observation.value": values}), expected)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"observation.a": torch.zeros(2, 3)}, "observation.b"),
        ({"observation.a": torch.zeros(2, 4), "observation.b": torch.zeros(2, 1)}, "observation.a"),
        ({"observation.a": torch.zeros(2, 3), "observation.b": torch.zeros(3, 1)}, "leading"),
    ],
)
def test_leading_shape_refuses_batches_with_missing_fields_or_wrong_shapes(
    batch: dict[str, torch.Tensor], message: str
) -> None:
    fields = observation_fields({"a": {"shape": [3], "dtype": "float32"}, "b": {"shape": [1], "dtype": "float32"}})
    with pytest.raises((KeyError, ValueError), match=message):
        leading_shape(batch, fields)


def test_activation_error_for_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="leaky_relu"):
        activation("leaky")  # type: ignore[arg-type]
