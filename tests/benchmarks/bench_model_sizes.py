"""How large the shipped sizes of models are, and how long they take: `python -m tests.benchmarks.bench_model_sizes`.

Parameters are counted without allocating them. A size with more than `--most-parameters` takes a single training step,
on one image or one sequence instead of a batch, by plain gradient descent, which needs no memory of its own; its time
has an asterisk. On a CPU the time is that of the process, on one thread, so that a busy machine changes it less.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from pamiq_exp.config import compose_config
from pamiq_exp.models import ForwardDynamics, IJepa, RecurrentDynamics
from pamiq_exp.models.cores import SioConv
from pamiq_exp.spaces import ActionSpec

OBSERVATION = {"image": {"shape": [64, 64, 3], "dtype": "uint8"}}
ACTION: ActionSpec = {"kind": "multi_discrete", "shape": [5], "dtype": "int64", "nvec": [3, 3, 3, 2, 2]}
SIZES = ("", "_small", "_base", "_large")
LANES, FRAMES, SEQUENCES, STEPS = 4, 32, 8, 64
NO_CLASS = {"_target_"}


def settings(choice: str, address: str) -> dict[str, object]:
    """The numbers of a node of the flagship's config, with another encoder or dynamics."""
    config = compose_config(["experiment=curiosity_noise_world", choice])
    node = OmegaConf.to_container(OmegaConf.select(config, address), resolve=False)
    assert isinstance(node, dict)
    return {str(name): value for name, value in node.items() if name not in NO_CLASS}


def make_encoder(size: str) -> IJepa:
    """An I-JEPA of a shipped size."""
    given = settings(f"encoder=ijepa{size}", "models.encoder")
    assert isinstance(given["tokens"], int)
    assert isinstance(given["token_width"], int)
    given |= {"observation": OBSERVATION, "features": given["tokens"] * given["token_width"]}
    return IJepa(**given)  # type: ignore[arg-type]


def make_dynamics(size: str) -> ForwardDynamics:
    """Forward dynamics with a SioConv of a shipped size, over the latents of the smallest I-JEPA."""
    core = SioConv(**settings(f"dynamics=sioconv{size}", "models.dynamics.network.core"))  # type: ignore[arg-type]
    return ForwardDynamics(RecurrentDynamics(512, ACTION, core, tokens=16))


def frames(count: int, device: str) -> dict[str, Tensor]:
    """What an encoder reads."""
    return {"observation.image": torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, device=device)}


def sequences(count: int, device: str) -> dict[str, Tensor]:
    """What a dynamics reads."""
    return {
        "latent": torch.randn(count, STEPS, 512, device=device),
        "action": torch.randint(0, 2, (count, STEPS, 5), device=device),
        "ended": torch.zeros(count, STEPS, dtype=torch.bool, device=device),
    }


def milliseconds(model: IJepa | ForwardDynamics, device: str, repeats: int, few: bool) -> tuple[float, float]:
    """Time of a step of an agent with 4 lanes, and of a training step; with `few` that is one, on a batch of one."""
    model = model.to(device)
    part = model.inference_module()
    seen, lived = frames(LANES, device), sequences(LANES, device)
    batch = (
        frames(1 if few else FRAMES, device) if isinstance(model, IJepa) else sequences(1 if few else SEQUENCES, device)
    )

    def act() -> None:
        with torch.no_grad():
            if isinstance(model, IJepa):
                model.encode(seen)
            else:
                assert isinstance(part, RecurrentDynamics)
                part(lived["latent"][:, 0], lived["action"][:, 0], part.initial_state(LANES, device))

    kind = torch.optim.SGD if few else torch.optim.AdamW
    optimizer = kind([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)

    def train() -> None:
        optimizer.zero_grad()
        loss: Tensor = model.training_step(batch, 0)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return median(act, 3 if few else repeats, device), median(train, 1 if few else max(3, repeats // 4), device)


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


def lines(device: str, most: int, repeats: int) -> Iterator[str]:
    """The rows of the table."""
    yield "| size | parameters | of them published | ms a step of 4 lanes | ms a training step |"
    yield "|---|---|---|---|---|"
    for kind, make in (("ijepa", make_encoder), ("sioconv", make_dynamics)):
        for size in SIZES:
            with torch.device("meta"):
                shape = make(size)
            total, published = count(shape), count(shape.inference_module())
            few = total > most
            act, train = milliseconds(make(size), device, repeats, few)
            yield f"| `{kind}{size}` | {total:,} | {published:,} | {act:.1f} | {train:.0f}{'*' * few} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--most-parameters", type=int, default=20_000_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    for line in lines(options.device, options.most_parameters, options.repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
