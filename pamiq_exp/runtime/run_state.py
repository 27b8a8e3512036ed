"""What a checkpoint holds of a run: taken from its engine, and put back into one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pamiq_exp.component import State, collect_state, restore_state
from pamiq_exp.publishable import Model
from pamiq_exp.runtime.checkpoints import CheckpointError, copy_state
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.frameworks import load_trained_state, trained_state


def inference_state(engine: Engine) -> dict[str, State]:
    """Copy what the inference thread owns. Call it on that thread, between turns."""
    statistics = engine.statistics
    return {
        "interaction": copy_state(collect_state(engine.interaction)),
        "runtime": {
            "steps": statistics.steps,
            "turns": statistics.turns,
            "deadline_misses": statistics.deadline_misses,
            "next_record": engine.next_record.next,
            "run_seconds": engine.clock.run_seconds,
            "wall_seconds": engine.clock.wall_seconds,
        },
    }


def training_state(engine: Engine, pending_round: State | None) -> dict[str, State]:
    """Copy what the training thread owns. Call it on that thread, between batches.

    Args:
        engine: What to copy from.
        pending_round: What is still to be published of a round that has ended; None without one.
    """
    engine.fetch_data()
    # One walk for both: trainers refer to buffers, whose content must be saved once, under its own name.
    states = collect_state(_training_components(engine))
    return {
        "models": {name: copy_state(trained_state(model)) for name, model in engine.models.items()},
        "buffers": copy_state(_below(states, "buffers")),
        "trainers": copy_state(_below(states, "trainers")),
        "generators": global_generators(),
        "publication": {
            "version": engine.publisher.version,
            "training_steps": engine.publisher.training_step,
            "pending": pending_round,
            "published": engine.publisher.state() if pending_round is not None else None,
        },
    }


def load_training_state(engine: Engine, groups: Mapping[str, State]) -> list[str]:
    """Restore what `training_state` returned, into parts that have just been set up, and publish it.

    Returns what did not fit, one sentence each: see `require_fit`. Raises CheckpointError for what cannot be loaded.
    """
    differences = load_models(engine.models, groups["models"])
    training = {**groups["buffers"], **groups["trainers"]}
    differences += _load_components(_training_components(engine), training, "training")
    publication = groups["publication"]
    engine.publisher.restore(publication["version"], publication["published"], publication["training_steps"])
    engine.statistics.count_batches()
    restore_global_generators(groups)
    return differences


def load_inference_state(engine: Engine, groups: Mapping[str, State]) -> list[str]:
    """Restore what `inference_state` returned; see `load_training_state`."""
    differences = _load_components(engine.interaction, groups["interaction"], "interaction")
    runtime, statistics = groups["runtime"], engine.statistics
    statistics.steps, statistics.turns = runtime["steps"], runtime["turns"]
    statistics.deadline_misses = runtime["deadline_misses"]
    engine.next_record.next = runtime["next_record"]
    engine.clock.restore(runtime["run_seconds"], runtime["wall_seconds"])
    return differences


def require_fit(differences: Sequence[str], partial: bool) -> None:
    """Raise CheckpointError if parts do not fit and `partial` does not let them start from the beginning."""
    if differences and not partial:
        raise CheckpointError(
            "the checkpoint does not fit this config:\n  "
            + "\n  ".join(differences)
            + "\nresume with the config of the run, or with resume.partial=true to start these parts from the beginning"
        )


def pending_round(engine: Engine, groups: Mapping[str, State]) -> State | None:
    """Return the round that was done but not yet published when the run was saved, see `training_state`."""
    pending: State | None = groups["publication"]["pending"]
    return pending if pending is not None and set(pending["names"]) <= engine.trainers.keys() else None


def _training_components(engine: Engine) -> dict[str, Mapping[str, Any]]:
    return {"buffers": engine.users, "trainers": engine.trainers}


def _load_components(root: object, states: Mapping[str, State], title: str) -> list[str]:
    try:
        unclaimed, missing = restore_state(root, states)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        notes = " ".join(getattr(error, "__notes__", []))
        raise CheckpointError(
            f"the checkpoint does not fit this config: {type(error).__name__}: {error} {notes}\n"
            "resume with the config of the run"
        ) from error
    differences = [f"{title} part {address} is only in the checkpoint" for address in unclaimed]
    return differences + [f"{title} part {address} is not in the checkpoint" for address in missing]


def load_models(models: Mapping[str, Model], states: State) -> list[str]:
    """Give models the parameters of a checkpoint; return what did not fit, one sentence each.

    Raises:
        CheckpointError: A model has other parameters.
    """
    differences = [f"model {name} is only in the checkpoint" for name in states.keys() - models.keys()]
    for name, model in models.items():
        if name not in states:
            differences.append(f"model {name} is not in the checkpoint")
            continue
        load_trained_state(name, model, states[name])
    return differences


def _below(states: Mapping[str, State], prefix: str) -> dict[str, State]:
    return {address: state for address, state in states.items() if address.startswith(f"{prefix}.")}


def global_generators() -> State:
    """Copy the state of the global generators.

    User modules draw from them while they train; the inference path never does.
    """
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [kind, np.asarray(keys).copy(), position, has_gauss, cached],
        "python": [version, list(internal), gauss_next],
    }


def restore_global_generators(groups: Mapping[str, State]) -> None:
    """Restore the global generators, which training draws from and setting up parts may have drawn from."""
    state = groups["generators"]
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys, position, has_gauss, cached))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
