"""I-JEPA: masked inputs, the loss, what is trained, and detection of collapse."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from pamiq_exp.models.encoders.ijepa import IJepa, Masks, TokenEncoder, measure_collapse, position_codes
from tests.benchmarks.bench_encoders import Scale, look_around
from tests.cases import error_of

OBSERVATION = {"image": {"shape": [32, 32, 3], "dtype": "uint8"}}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(**given: Any) -> IJepa:
    torch.manual_seed(0)
    small = {
        "patch": 4,
        "tokens": 4,
        "token_width": 16,
        "width": 32,
        "depth": 2,
        "heads": 2,
        "predictor_width": 16,
        "predictor_depth": 1,
        "predictor_heads": 2,
        "learning_rate": 1e-3,
        "warmup": 10,
    }
    arguments = small | given
    return IJepa(OBSERVATION, **{"features": arguments["tokens"] * arguments["token_width"], **arguments})


def scenes(count: int, seed: int = 0) -> dict[str, Tensor]:
    """Colored floors and walls with a box somewhere: hidden patches can mostly be predicted from the others."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(count, 32, 32, 3)
    colors = torch.rand(count, 3, 3, generator=generator)
    horizon = torch.randint(8, 24, (count,), generator=generator)
    place = torch.randint(0, 22, (count, 2), generator=generator)
    for index in range(count):
        y, x = place[index]
        image[index, : horizon[index]], image[index, horizon[index] :] = colors[index, 0], colors[index, 1]
        image[index, y : y + 10, x : x + 10] = colors[index, 2]
    return {"observation.image": (255 * image).to(torch.uint8)}


def masks(model: IJepa, count: int, seed: int = 0) -> Masks:
    return model.masks(count, torch.Generator().manual_seed(seed))


def train(model: IJepa, batch: dict[str, Tensor], updates: int, after: Callable[[], object] | None = None) -> float:
    """The mean loss of the last tenth."""
    optimizer = model.configure_optimizers()["optimizer"]
    pixels = model.context.pixels(batch)
    losses = []
    for update in range(updates):
        optimizer.zero_grad()
        loss = model.loss(pixels, masks(model, len(pixels), seed=update))
        loss.backward()
        optimizer.step()
        (after or model.update_target)()
        losses.append(float(loss.detach()))
    return sum(losses[-updates // 10 :]) / len(losses[-updates // 10 :])


def test_position_codes_are_distinct_and_deterministic() -> None:
    codes = position_codes(8, 32)
    assert codes.shape == (64, 32)
    assert torch.equal(codes, position_codes(8, 32))
    assert (torch.cdist(codes, codes) + 10 * torch.eye(64)).min() > 0.1
    rows, columns = codes.view(8, 8, 2, 16).unbind(2)
    assert torch.equal(rows[:, 0], rows[:, 5])
    assert torch.equal(columns[0], columns[5])
    with pytest.raises(ValueError, match="4 divides"):
        position_codes(8, 30)


def test_ijepa_target_encoder_starts_as_a_copy_of_the_context_encoder() -> None:
    model = make()
    pixels = model.context.pixels(scenes(3))
    nothing = torch.zeros(3, 64, dtype=torch.bool)
    assert torch.equal(model.context.tokens_of(pixels, nothing), model.target.tokens_of(pixels))


def test_ijepa_hidden_pixels_change_target_tokens_but_not_context_tokens() -> None:
    model = make()
    pixels = model.context.pixels(scenes(3))
    hidden = masks(model, 3).hidden
    patches = hidden.view(3, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    changed = torch.where(patches, torch.rand_like(pixels), pixels)
    assert torch.equal(model.context.tokens_of(changed, hidden), model.context.tokens_of(pixels, hidden))
    assert not torch.allclose(model.target.tokens_of(changed), model.target.tokens_of(pixels))


def test_ijepa_loss_is_the_smooth_l1_distance_to_the_target_tokens() -> None:
    model = make()
    pixels, drawn = model.context.pixels(scenes(3)), masks(model, 3)
    predicted = model.predictor.mark(model.context.tokens_of(pixels, drawn.hidden), drawn.target)
    wanted = model.target.normal_tokens(pixels)
    torch.testing.assert_close(wanted.mean(-1), torch.zeros(3, 64), atol=1e-5, rtol=0)
    terms = []
    for image, token in drawn.target.nonzero().tolist():
        error = (predicted[image, token] - wanted[image, token]).abs()
        terms.append(torch.where(error < 1, 0.5 * error.square(), error - 0.5).mean())
    torch.testing.assert_close(model.loss(pixels, drawn), torch.stack(terms).mean())


def test_ijepa_trains_the_context_encoder_and_predictor_but_not_the_target() -> None:
    model = make()
    pixels = model.context.pixels(scenes(3))
    model.loss(pixels, masks(model, 3)).backward()
    assert all(weight.grad is None and not weight.requires_grad for weight in model.target.parameters())
    for part in (model.context, model.predictor):
        assert all(weight.grad is not None and weight.grad.any() for weight in part.parameters())
    handed = model.configure_optimizers()["optimizer"].param_groups
    learned = {id(weight) for group in handed for weight in group["params"]}
    assert learned == {id(weight) for part in (model.context, model.predictor) for weight in part.parameters()}
    assert all(weight.ndim > 1 for weight in handed[0]["params"])
    assert handed[1]["weight_decay"] == 0


def test_ijepa_target_is_an_exponential_moving_average_of_the_context() -> None:
    """theta_k = m^k theta_0 + (1 - m) sum_j m^(k - j) phi_j."""
    model = make(ema_decay=0.9)
    expected = {name: 0.9**5 * value.clone() for name, value in model.target.named_parameters()}
    for step in range(1, 6):
        with torch.no_grad():
            for weight in model.context.parameters():
                weight.add_(torch.randn_like(weight))
        for name, value in model.context.named_parameters():
            expected[name] += 0.1 * 0.9 ** (5 - step) * value.detach()
        model.update_target()
    for name, value in model.target.named_parameters():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-5)


def test_ijepa_publishes_only_the_target_encoder() -> None:
    model = make()
    part = model.inference_module()
    assert isinstance(part, TokenEncoder)
    assert sum(weight.numel() for weight in part.parameters()) < 0.5 * sum(w.numel() for w in model.parameters())
    train(model, scenes(8), 3)
    frames = scenes(6)
    latent = copy.deepcopy(part).eval().encode(frames)
    torch.testing.assert_close(latent, model.encode(frames))
    tokens = model.target.normal_tokens(model.target.pixels(frames)).view(6, 8, 8, 16)
    torch.testing.assert_close(latent.view(6, 2, 2, 16)[:, 1, 0], tokens[:, 4:, :4].mean((1, 2)))
    sequence = {"observation.image": frames["observation.image"].view(2, 3, 32, 32, 3)}
    torch.testing.assert_close(model.encode(sequence), latent.view(2, 3, 64))


def views(count: int) -> dict[str, Tensor]:
    return look_around(count, "learn", 0, Scale(side=32, noise=0.0)).batch()


@pytest.mark.slow
def test_ijepa_training_lowers_the_loss_without_collapse() -> None:
    """At first the features of all images become more alike, since positions are learned before contents."""
    model, frames = make(patch=8, min_area=1, width=64, predictor_width=32), views(64)
    first = train(copy.deepcopy(model), frames, 10)
    last = train(model, frames, 450)
    assert last < 0.7 * first
    found = measure_collapse(model.target.normal_tokens(model.target.pixels(frames)))
    assert found.std > 0.3
    assert not found.collapsed


def test_measure_collapse_detects_training_with_gradients_through_the_target() -> None:
    """With the gradient through the target, constant features have the lowest loss."""
    model = make(patch=8, min_area=1, learning_rate=3e-3)
    pixels = model.context.pixels(views(32))
    assert not measure_collapse(model.context.normal_tokens(pixels)).collapsed
    optimizer = model.configure_optimizers()["optimizer"]
    for update in range(150):
        drawn = masks(model, 32, seed=update)
        predicted = model.predictor.mark(model.context.tokens_of(pixels, drawn.hidden), drawn.target)
        wanted = model.context.normal_tokens(pixels)
        optimizer.zero_grad()
        torch.nn.functional.smooth_l1_loss(predicted[drawn.target], wanted[drawn.target]).backward()
        optimizer.step()
    assert measure_collapse(model.context.normal_tokens(pixels)).collapsed


def test_ijepa_draws_new_masks_for_each_batch() -> None:
    model, frames = make(), scenes(4)
    assert not torch.equal(model.training_step(frames, 0), model.training_step(frames, 0))


def test_ijepa_refuses_inconsistent_settings() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"patch": 5}, "patches of 5 pixels"),
        ({"tokens": 9}, "cannot be averaged to 3x3"),
        ({"tokens": 8}, "tokens a square"),
        ({"features": 10}, "features must be tokens times token_width"),
        ({"width": 33}, "2 heads"),
        ({"width": 34}, "4 divides"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ]
    for settings, message in cases:
        assert message in error_of(ValueError, make, **settings), settings


def test_ijepa_error_without_an_image_suggests_random_features() -> None:
    with pytest.raises(ValueError, match="encoder=random_features"):
        IJepa({"vector": {"shape": [3], "dtype": "float32"}}, features=512)
