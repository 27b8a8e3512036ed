"""Sizes of a run, printed before anything is allocated: parameters, buffers, memory, checkpoints."""

from __future__ import annotations

from collections.abc import Iterator

from pamiq_exp.config import Validated
from pamiq_exp.formatting import bytes_text


def size_lines(validated: Validated) -> Iterator[str]:
    """Yield what a run of a config that was tried in a dry run takes, and when it ends, a line each."""
    launcher, sizes = validated.tree["launcher"], validated.measured
    assert sizes is not None
    most = launcher.get("max_parameters")
    parts = _listed({name: f"{count:,}" for name, count in sizes.parameters.items()})
    ceiling = f"at most {most:,}" if most else "no limit"
    yield f"parameters  {sum(sizes.parameters.values()):,}{parts}; {ceiling}"
    parts = _listed({name: bytes_text(size) for name, size in sizes.buffer_bytes.items()})
    yield f"buffers     {bytes_text(sum(sizes.buffer_bytes.values()))} when full{parts}"
    memory = bytes_text(sizes.memory_bytes)
    kept = f"{bytes_text(sizes.kept_bytes)} that rewards and metrics keep at first"
    yield f"memory      {memory} for models, gradients, optimizers, published copies, buffers, and {kept}"
    yield f"checkpoint  {bytes_text(sizes.checkpoint_bytes)} when the buffers are full"
    threads = {"inference": 1, "training": 1} | (launcher.get("threads") or {})
    yield f"threads     {threads['inference']} for acting and {threads['training']} for training in each operation"
    ends = [f"after {launcher['max_steps']:,} steps"] if launcher.get("max_steps") else []
    ends += [f"after {launcher['max_seconds']:,} seconds"] if launcher.get("max_seconds") else []
    yield f"ends        {' or '.join(ends) or 'when a user stops it'}"
    yield from (f"environment {note}" for note in sizes.notes)


def _listed(parts: dict[str, str]) -> str:
    return f" ({', '.join(f'{name} {size}' for name, size in parts.items())})" if parts else ""
