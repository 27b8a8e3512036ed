"""What encoders know about the place that they see: `python -m tests.benchmarks.bench_encoders`.

Each encoder learns from views of the nine clean rooms; then a linear map (ridge regression) reads position and heading
from its latents, and is measured on views that neither has seen. `--figure PATH` paints the result.
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
from pamiq_exp.models.ijepa import Collapse, measure_collapse

FEATURES = 512
LABELS = ("x", "y", "cos heading", "sin heading")
BATCH = 32


class Views(NamedTuple):
    """Views of the world, `(count, side, side, 3)` uint8, and from where, `(count, 4)`."""

    image: Tensor
    label: Tensor

    def batch(self) -> dict[str, Tensor]:
        """As encoders read them."""
        return {"observation.image": self.image}


def look_around(count: int, seed: int, side: int = 64, noise: float = 0.0) -> Views:
    """Views from random places in random directions."""
    lanes = 64
    world = NoiseWorld(noise={"fraction": noise}, lanes=lanes, image_size=side, seed=seed)
    generator = np.random.default_rng(seed)
    cells = np.argwhere(world.ground_truth()["reachable"])
    images, labels = [], []
    still = np.zeros((lanes, world.actions.choices.size), dtype=np.int64)
    for _ in range(-(-count // lanes)):
        rows, columns = cells[generator.integers(len(cells), size=lanes)].T
        heading = generator.uniform(0, 2 * math.pi, lanes)
        x, y = (columns + 0.5) * 0.25, (rows + 0.5) * 0.25
        images.append(world.render_at(np.stack([x, y, heading], 1)))
        labels.append(np.stack([x, y, np.cos(heading), np.sin(heading)], 1))
        world.affect(still)
    return Views(torch.from_numpy(np.concatenate(images)[:count]), torch.from_numpy(np.concatenate(labels)[:count]))


def r_squared(encoder: Encoder, fit: Views, test: Views, ridge: float = 1e-2) -> Tensor:
    """Share of the variance of each label that a linear map of the latents tells, on views it was not fitted to."""
    with torch.no_grad():
        known, asked = (torch.cat([encoder.encode({"observation.image": part}) for part in views.image.split(256)])
                        for views in (fit, test))  # fmt: skip
    mean, std = known.double().mean(0), known.double().std(0) + 1e-6
    known, asked = ((each.double() - mean) / std for each in (known, asked))
    centre = fit.label.mean(0)
    gram = known.T @ known / len(known) + ridge * torch.eye(known.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, known.T @ (fit.label - centre) / len(known))
    error = (asked @ weight + centre - test.label).square().mean(0)
    return 1 - error / test.label.var(0, correction=0)


def train(encoder: Any, views: Views, updates: int, seed: int = 0) -> None:
    """Train an encoder on batches drawn at random, as `lightning.Trainer` would."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
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
            encoder.follow()


def observation(side: int) -> dict[str, object]:
    """What one lane shows."""
    return {"image": {"shape": [side, side, 3], "dtype": "uint8"}}


def make_ijepa(side: int = 64, **given: Any) -> IJepa:
    """As `encoder=ijepa`, half as deep."""
    settings = {"patch": side // 8, "depth": 2, "learning_rate": 1e-3, "warmup": 100, **given}
    return IJepa(observation(side), FEATURES, **settings)


def make_vae(side: int = 64) -> ImageVae:
    """A VAE with as many numbers in a latent vector."""
    return ImageVae(observation(side), FEATURES, beta=3e-4, learning_rate=1e-3)


def make_random(views: Views, side: int = 64) -> RandomFeatures:
    """Random features of as many numbers, whitened."""
    encoder = RandomFeatures(observation(side), FEATURES, warmup=len(views.image))
    with torch.no_grad():
        encoder.moments.update(
            torch.cat([encoder.network({"observation.image": part}) for part in views.image.split(256)])
        )
    return encoder


def collapse_of(encoder: IJepa, views: Views) -> Collapse:
    """How far the target encoder is from collapse."""
    with torch.no_grad():
        return measure_collapse(encoder.target.normal_tokens(encoder.target.pixels(views.batch())))


def results(updates: int, frames: int, side: int) -> Iterator[tuple[str, Encoder, Tensor, float]]:
    """Train each encoder; yield its name, itself, what can be read from it, and the seconds that it took."""
    learned, fit, test = (look_around(count, seed, side) for seed, count in enumerate((frames, 2000, 600)))
    torch.manual_seed(0)
    makers: dict[str, Callable[[], Encoder]] = {
        "random features": lambda: make_random(learned, side),
        "VAE": lambda: make_vae(side),
        "I-JEPA": lambda: make_ijepa(side),
    }
    for name, make in makers.items():
        encoder, begin = make(), time.process_time()
        if name != "random features":
            train(encoder, learned, updates)
        yield name, encoder.eval(), r_squared(encoder, fit, test), time.process_time() - begin
    untrained = make_ijepa(side).eval()
    yield "I-JEPA before training", untrained, r_squared(untrained, fit, test), 0.0


def paint(found: dict[str, Tensor], path: str) -> None:
    """Bars of R^2, a group for each label."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    width = 0.8 / len(found)
    for index, (name, values) in enumerate(found.items()):
        heights = [*values.tolist(), float(values.mean())]
        axes.bar(np.arange(len(heights)) + index * width, heights, width, label=name)
    axes.set_xticks(np.arange(len(LABELS) + 1) + 0.4 - width / 2, [*LABELS, "mean"])
    axes.set_ylabel("R² of a linear probe")
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the table, and paint it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--side", type=int, default=32, help="pixels on a side of the views")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figure")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"| encoder | {' | '.join(LABELS)} | mean | seconds |\n|---|{'---|' * (len(LABELS) + 2)}")
    found = {}
    for name, encoder, values, seconds in results(options.updates, options.frames, options.side):
        found[name] = values
        cells = " | ".join(f"{value:.2f}" for value in [*values.tolist(), float(values.mean())])
        print(f"| {name} | {cells} | {seconds:.0f} |", flush=True)
        if isinstance(encoder, IJepa):
            figures = collapse_of(encoder, look_around(256, 9, options.side))._asdict()
            print("  ".join(f"{figure} {float(value):.3g}" for figure, value in figures.items()), flush=True)
    if options.figure:
        paint(found, options.figure)


if __name__ == "__main__":
    main()
