"""How well the pose can be predicted from the latents of encoders: `python -m tests.benchmarks.bench_encoders`.

Each encoder learns from views of the nine rooms; then a linear map (ridge regression) reads position and heading
from its latents. The square meters of the map are divided into three parts: in the first part encoders learn and
the map is fitted, in the second the penalty of the regression and all settings here were chosen, and in the third R^2
is measured. Each part is seen in a world of its own. `--figure PATH` plots the result.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pamiq_exp.environments import NoiseWorld
from pamiq_exp.models import Encoder, IJepa, ImageVae, RandomFeatures
from pamiq_exp.models.encoders.ijepa import Collapse, measure_collapse

FEATURES = 64
LABELS = ("x", "y", "cos heading", "sin heading")
PARTS = {"learn": (0.0, 0.6), "choose": (0.6, 0.8), "test": (0.8, 1.0)}
"""Which share of the square meters belongs to each part."""
PENALTIES = tuple(10.0**power for power in range(-5, 2))
BATCH = 32
ROWS = 64
"""Views that show the same moment of the world."""


class Scale(NamedTuple):
    """How much is seen and learned.

    Attributes:
        side: Pixels on a side of the views.
        noise: Share of noisy tiles.
        frames: Views that encoders learn from.
        fitted: Views that the linear map is fitted to.
        asked: Views of each of the other two parts.
        updates: Of each encoder that learns.
    """

    side: int = 32
    noise: float = 0.5
    frames: int = 20_000
    fitted: int = 4000
    asked: int = 2000
    updates: int = 1000


class Views(NamedTuple):
    """Views of the world, `(count, side, side, 3)` uint8, and from where, `(count, 4)`."""

    image: Tensor
    label: Tensor

    def batch(self) -> dict[str, Tensor]:
        """As encoders read them."""
        return {"observation.image": self.image}


def look_around(count: int, part: str, seed: int, scale: Scale) -> Views:
    """Views from random places of a part of the map, in random directions."""
    number = [*PARTS].index(part)
    world = NoiseWorld(noise={"fraction": scale.noise}, image_size=scale.side, seed=len(PARTS) * seed + number)
    generator = np.random.default_rng((seed, number, count))
    cells = np.argwhere(world.ground_truth()["reachable"])
    squares, square = np.unique(cells // 4, axis=0, return_inverse=True)
    place = np.random.default_rng(0).permutation(len(squares))[square.reshape(-1)] / len(squares)
    first, last = PARTS[part]
    cells = cells[(first <= place) & (place < last)]
    images, labels = [], []
    still = np.zeros((1, world.actions.choices.size), dtype=np.int64)
    for _ in range(-(-count // ROWS)):
        rows, columns = cells[generator.integers(len(cells), size=ROWS)].T
        heading = generator.uniform(0, 2 * math.pi, ROWS)
        x, y = (columns + 0.5) * 0.25, (rows + 0.5) * 0.25
        images.append(world.render_at(np.stack([x, y, heading], 1)))
        labels.append(np.stack([x, y, np.cos(heading), np.sin(heading)], 1))
        world.affect(still)
    return Views(torch.from_numpy(np.concatenate(images)[:count]), torch.from_numpy(np.concatenate(labels)[:count]))


def r_squared(encoder: Encoder, fit: Views, choose: Views, test: Views) -> Tensor:
    """Share of the variance of each label that a linear map of the latents predicts.

    It is fitted to `fit`, with the penalty that is best for `choose`, and measured on `test`.
    """
    with torch.no_grad():
        known, tried, asked = (
            torch.cat([encoder.encode({"observation.image": part}) for part in views.image.split(256)]).double()
            for views in (fit, choose, test)
        )
    mean, std, center = known.mean(0), known.std(0) + 1e-6, fit.label.mean(0)
    known, tried, asked = ((each - mean) / std for each in (known, tried, asked))
    values, vectors = torch.linalg.eigh(known.T @ known / len(known))
    moments = vectors.T @ (known.T @ (fit.label - center)) / len(known)

    def explained(inputs: Tensor, label: Tensor, penalty: float) -> Tensor:
        predicted = inputs @ (vectors @ (moments / (values.clamp(min=0) + penalty)[:, None])) + center
        return 1 - (predicted - label).square().mean(0) / label.var(0, correction=0)

    best = max(PENALTIES, key=lambda penalty: float(explained(tried, choose.label, penalty).mean()))
    return explained(asked, test.label, best)


def train(encoder: Any, views: Views, updates: int, seed: int) -> None:
    """Train an encoder on batches drawn at random, as `lightning.Trainer` would."""
    generator = torch.Generator().manual_seed(seed)
    configured = encoder.configure_optimizers()
    optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    for update in range(updates):
        index = torch.randint(len(views.image), (BATCH,), generator=generator)
        optimizer.zero_grad()
        loss = encoder.training_step({"observation.image": views.image[index]}, update)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        if isinstance(configured, dict):
            configured["lr_scheduler"]["scheduler"].step()
            encoder.update_target()


def observation(side: int) -> dict[str, object]:
    """What one environment shows."""
    return {"image": {"shape": [side, side, 3], "dtype": "uint8"}}


def make_ijepa(side: int, **given: Any) -> IJepa:
    """A small one: as `encoder=ijepa`, but narrower and less deep, on a map of 4x4 tokens that are averaged to one."""
    settings = {"patch": side // 4, "tokens": 1, "token_width": FEATURES, "width": 64, "depth": 2, "targets": "all"}
    rest = {"predictor_depth": 1, "learning_rate": 1e-3, "warmup": 100}
    return IJepa(observation(side), FEATURES, **{**settings, **rest, **given})


def make_vae(side: int, **given: Any) -> ImageVae:
    """As `encoder=image_vae`, with as many numbers in a latent vector."""
    return ImageVae(observation(side), FEATURES, **{"beta": 3e-4, "learning_rate": 2e-3, **given})


def make_random(side: int, views: Views) -> RandomFeatures:
    """Random features of as many numbers, whitened by the first frames."""
    encoder = RandomFeatures(observation(side), FEATURES)
    with torch.no_grad():
        encoder.moments.update(encoder.network({"observation.image": views.image[:2000]}))
    return encoder


def collapse_of(encoder: IJepa, views: Views) -> Collapse:
    """How far the target encoder is from collapse."""
    with torch.no_grad():
        return measure_collapse(encoder.target.normal_tokens(encoder.target.pixels(views.batch())))


class Result(NamedTuple):
    """An encoder, R^2 of each label, and the seconds of its training."""

    name: str
    encoder: Encoder
    r_squared: Tensor
    seconds: float


def results(scale: Scale, seed: int) -> Iterator[Result]:
    """Train each encoder and measure it."""
    learned = look_around(scale.frames, "learn", seed, scale)
    fit = look_around(scale.fitted, "learn", seed, scale)
    choose, test = (look_around(scale.asked, part, seed, scale) for part in ("choose", "test"))
    side = scale.side
    makers: dict[str, Callable[[], Encoder]] = {
        "random features": lambda: make_random(side, learned),
        "VAE": lambda: make_vae(side),
        "I-JEPA": lambda: make_ijepa(side),
        "I-JEPA before training": lambda: make_ijepa(side),
    }
    for name, make in makers.items():
        torch.manual_seed(seed)
        encoder, begin = make(), time.process_time()
        if name in ("VAE", "I-JEPA"):
            train(encoder, learned, scale.updates, seed)
        seconds = time.process_time() - begin
        yield Result(name, encoder.eval(), r_squared(encoder, fit, choose, test), seconds)


def plot(found: dict[str, Tensor], path: str) -> None:
    """Bars of R^2, a group for each label, mean over seeds; a dot for each seed. `found` holds `(seeds, labels)`."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    width = 0.8 / len(found)
    for index, (name, values) in enumerate(found.items()):
        values = torch.cat([values, values.mean(1, keepdim=True)], 1)
        place = np.arange(values.shape[1]) + index * width
        axes.bar(place, values.mean(0), width, label=name)
        axes.plot(np.tile(place, (len(values), 1)), values, ".", color="black", markersize=3)
    axes.set_xticks(np.arange(len(LABELS) + 1) + 0.4 - width / 2, [*LABELS, "mean"])
    axes.set_ylabel("R² of a linear probe")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table, and plot it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    for name, value in Scale()._asdict().items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figure")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scale = Scale(*(getattr(options, name) for name in Scale._fields))
    print(f"| encoder | seed | {' | '.join(LABELS)} | mean | seconds |\n|---|---|{'---|' * (len(LABELS) + 2)}")
    found: dict[str, list[Tensor]] = {}
    for seed in options.seeds:
        for name, encoder, values, seconds in results(scale, seed):
            found.setdefault(name, []).append(values)
            cells = " | ".join(f"{value:.3f}" for value in [*values.tolist(), float(values.mean())])
            print(f"| {name} | {seed} | {cells} | {seconds:.0f} |", flush=True)
            if isinstance(encoder, IJepa):
                metrics = collapse_of(encoder, look_around(256, "test", seed, scale))._asdict()
                print("  ".join(f"{metric} {float(value):.3g}" for metric, value in metrics.items()), flush=True)
    if options.figure:
        plot({name: torch.stack(values) for name, values in found.items()}, options.figure)


if __name__ == "__main__":
    main()
