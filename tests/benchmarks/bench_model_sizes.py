"""How large the shipped sizes of models are, and how long they take: `python -m tests.benchmarks.bench_model_sizes`.

Every encoder, dynamics and policy of `conf/` is built as `experiment=pamiq2024` builds it, for images of
64x64, in all its sizes. Parameters are counted without allocating them. A size with more than `--most-parameters` takes
a single training step, on one image or one sequence instead of a batch, by plain gradient descent, which needs no
memory of its own; its time has an asterisk. On a CPU the time is that of the process, on one thread, so that a busy
machine changes it less.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from pamiq_exp.config import AllowList, Builder, Composed, compose
from pamiq_exp.config.checks.interpolations import resolve
from pamiq_exp.models import Encoder, ImaginationActorCritic
from pamiq_exp.models.policies.networks import RecurrentPolicy

SPACES = {
    "observation": {"image": {"shape": [64, 64, 3], "dtype": "uint8"}},
    "action": {"kind": "multi_discrete", "shape": [5], "dtype": "int64", "nvec": [3, 3, 3, 2, 2]},
    "num_envs": 4,
}
ENVIRONMENTS, FRAMES, SEQUENCES, STEPS = 4, 32, 8, 64

PARAMETERS: dict[str, dict[str, int]] = json.loads(
    (Path(__file__).parents[1] / "config" / "parameter_counts.json").read_text(encoding="utf-8")
)
"""Parameters of each choice, by its words (the first names the group of the model) and by size."""


@lru_cache(maxsize=1)
def composed(words: str) -> Composed:
    """The config of `experiment=pamiq2024` with other choices."""
    return compose(["experiment=pamiq2024", *words.split()])


def tree(words: str, size: str) -> dict[str, Any]:
    """That config in a size, filled in. Encoders stay small beside larger dynamics and policies."""
    own = "encoder" if words.startswith("encoder") else "core dynamics policy"
    sizes = dict.fromkeys(("encoder", "core", "dynamics", "policy"), "cpu") | dict.fromkeys(own.split(), size)
    return resolve({**composed(words).tree, "sizes": sizes, "spaces": SPACES}).tree


def make(words: str, size: str) -> LightningModule:
    """Build the model that the first word chooses, with the models that it learns from where it needs some."""
    group, builder, models = words.partition("=")[0], Builder(AllowList()), tree(words, size)["models"]
    model = builder.build(models[group], f"models.{group}")
    if isinstance(model, ImaginationActorCritic):
        names = ("encoder", "dynamics", "outcome")
        model.attach_models({name: builder.build(models[name], f"models.{name}") for name in names})
    if not isinstance(model, LightningModule | Encoder):
        raise TypeError(f"{words} is no model, but a {type(model).__name__}")
    return model


def published(model: LightningModule) -> Any:
    """The part that inference needs."""
    part = getattr(model, "inference_module", None)
    return model if part is None else part()


def random_sequences(model: LightningModule, count: int, steps: int, device: str) -> dict[str, Tensor]:
    """Sequences `(count, steps)` with everything that a model reads of them."""
    shape = (count, steps)
    network = published(model)
    pixels = getattr(network, "shape", None)  # of a forward model in the space of pixels
    features = 512 if pixels is None else math.prod(pixels)
    batch = {
        "observation.image": torch.randint(0, 256, (*shape, 64, 64, 3), dtype=torch.uint8, device=device),
        "latent": torch.randn(*shape, features, device=device),
        "action": torch.randint(0, 2, (*shape, 5), device=device),
        "ended": torch.zeros(shape, dtype=torch.bool, device=device),
        "weight": torch.ones(shape, device=device),
        "log_prob": torch.full(shape, -4.7, device=device),
        "branch_log_prob": torch.full((*shape, 5), -0.94, device=device),
    }
    batch |= {name: torch.randn(shape, device=device) for name in ("value", "advantage", "return", "reward")}
    batch["terminated"] = batch["ended"]
    if isinstance(network, RecurrentPolicy):
        batch["policy_state"] = network.initial_state(count, device).unsqueeze(1).expand(-1, steps, -1, -1)
    return batch


def act_of(model: LightningModule, device: str) -> Callable[[], object]:
    """What an agent with 4 environments asks of a model at each turn."""
    part = published(model)
    now = {name: value[:, 0] for name, value in random_sequences(model, ENVIRONMENTS, 1, device).items()}
    if isinstance(part, Encoder):
        return lambda: part.encode(now)
    if isinstance(part, RecurrentPolicy):
        return lambda: part.step(now, now["policy_state"], torch.default_generator)
    if hasattr(part, "initial_state"):
        return lambda: part(now["latent"], now["action"], part.initial_state(ENVIRONMENTS, device))
    return lambda: part(now)


def batch_of(words: str, model: LightningModule, few: bool, device: str) -> dict[str, Tensor]:
    """What a training step is timed on; see the table."""
    if not words.startswith("encoder"):
        return random_sequences(model, 1 if few else SEQUENCES, STEPS, device)
    if words == "encoder=icm":
        return random_sequences(model, 1 if few else FRAMES // 2, 2, device)
    return {"observation.image": random_sequences(model, 1 if few else FRAMES, 1, device)["observation.image"][:, 0]}


def milliseconds(words: str, size: str, device: str, repeats: int, few: bool) -> tuple[float, float | None]:
    """Time of a step of an agent with 4 num_envs, and of a training step, None where nothing is trained."""
    model = make(words, size).to(device)
    published(model).eval()
    act = act_of(model, device)

    def acting() -> None:
        with torch.no_grad():
            act()

    acted = median(acting, 3 if few else repeats, device)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    if not learning:
        return acted, None
    model.train()
    batch = batch_of(words, model, few, device)
    optimizer = (torch.optim.SGD if few else torch.optim.AdamW)(learning, lr=1e-4)

    def train() -> None:
        optimizer.zero_grad()
        loss = model.training_step(batch, 0)
        assert isinstance(loss, Tensor)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return acted, median(train, 1 if few else max(3, repeats // 4), device)


def median(action: Callable[[], object], repeats: int, device: str) -> float:
    """Median time of a call in milliseconds, after one unmeasured where there are several."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(repeats + (repeats > 1)):
        begin = clock()
        action()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - begin)
    return 1e3 * sorted(times[repeats > 1 :])[repeats // 2]


def count(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(weight.numel() for weight in module.parameters())


def lines(wanted: list[str], device: str, most: int, repeats: int) -> Iterator[str]:
    """The rows of the table."""
    yield "| size | parameters | of them published | ms a step of 4 environments | ms a training step |"
    yield "|---|---|---|---|---|"
    for words, size in ((words, size) for words, sizes in PARAMETERS.items() for size in sizes):
        name = f"{words} ({size})"
        if wanted and not any(word in name for word in wanted):
            continue
        with torch.device("meta"):
            shape = make(words, size)
        total, acting = count(shape), count(published(shape))
        few = total > most
        act, train = milliseconds(words, size, device, repeats, few)
        trained = "" if train is None else f"{train:.0f}{'*' * few}"
        yield f"| `{words}` {size} | {total:,} | {acting:,} | {act:.1f} | {trained} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wanted", nargs="*", help="parts of `GROUP=CHOICE (SIZE)`; all without one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--most-parameters", type=int, default=20_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for line in lines(options.wanted, options.device, options.most_parameters, options.repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
