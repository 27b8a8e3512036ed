"""The optimizers and schedulers that a module asks for, in every form that Lightning knows."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning import LightningModule
from lightning.pytorch.utilities.types import LRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

_FORMS = (
    "an optimizer, a list of optimizers, ([optimizers], [schedulers]), "
    '{"optimizer": ..., "lr_scheduler": ..., "monitor": ...}, or a list of such dicts'
)
_SHAPED_LIKE_PARAMETERS = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "max_exp_avg_sq"}
_SCHEDULER_KEYS = ("scheduler", "name", "interval", "frequency", "reduce_on_plateau", "monitor", "strict")


def configured_optimizers(module: LightningModule) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """Call `configure_optimizers` and return its optimizers and schedulers in their order.

    Raises:
        TypeError: If it returns something else than Lightning understands.
        ValueError: If a scheduler lacks its optimizer, its monitor or a known interval, or if automatic
            optimization is given more or fewer than one optimizer.
    """
    address = f"{type(module).__name__}.configure_optimizers()"
    output: Any = module.configure_optimizers()
    optimizers, schedulers = _split(output, address)
    if module.automatic_optimization and len(optimizers) != 1:
        raise ValueError(
            f"{address} returned {len(optimizers)} optimizers, but automatic optimization takes exactly one; return "
            "one, or set self.automatic_optimization = False and step them yourself in training_step"
        )
    configs = [_scheduler_config(scheduler, module.automatic_optimization, address) for scheduler in schedulers]
    for config in configs:
        if all(config.scheduler.optimizer is not optimizer for optimizer in optimizers):
            raise ValueError(f"{address} returned a scheduler of an optimizer that it did not return")
    return optimizers, configs


def _split(output: Any, address: str) -> tuple[list[Optimizer], list[Any]]:
    if output is None:
        return [], []
    if isinstance(output, (Optimizer, Mapping)):
        output = [output]
    if not isinstance(output, (list, tuple)):
        raise TypeError(f"{address} returned a {type(output).__name__}; return {_FORMS}")
    if len(output) == 2 and isinstance(output[0], list):
        schedulers = output[1] if isinstance(output[1], list) else [output[1]]
        optimizers = output[0]
    else:
        optimizers = [part["optimizer"] if isinstance(part, Mapping) else part for part in output]
        schedulers = [_with_monitor(part) for part in output if isinstance(part, Mapping) and "lr_scheduler" in part]
    if not all(isinstance(optimizer, Optimizer) for optimizer in optimizers):
        kinds = sorted({type(optimizer).__name__ for optimizer in optimizers})
        raise TypeError(f"{address} returned {kinds} where optimizers belong; return {_FORMS}")
    return list(optimizers), schedulers


def _with_monitor(part: Mapping[str, Any]) -> dict[str, Any]:
    """The scheduler's settings; beside a bare scheduler the monitor stands in the optimizer's dict."""
    scheduler = part["lr_scheduler"]
    if isinstance(scheduler, Mapping):
        return dict(scheduler)
    return {"scheduler": scheduler, "monitor": part.get("monitor")}


def _scheduler_config(scheduler: Any, automatic: bool, address: str) -> LRSchedulerConfig:
    settings = dict(scheduler) if isinstance(scheduler, Mapping) else {"scheduler": scheduler}
    if "scheduler" not in settings:
        raise ValueError(f'{address}: a scheduler\'s dict needs the key "scheduler"')
    for key in settings.keys() - set(_SCHEDULER_KEYS):
        warnings.warn(f"{address}: the scheduler setting {key!r} is unknown and ignored", stacklevel=2)
        del settings[key]
    settings.setdefault("reduce_on_plateau", isinstance(settings["scheduler"], ReduceLROnPlateau))
    config = LRSchedulerConfig(**settings)
    if config.interval not in ("step", "epoch"):
        raise ValueError(f'{address}: the interval of a scheduler is "step" or "epoch", not {config.interval!r}')
    if automatic and config.reduce_on_plateau and config.monitor is None:
        raise ValueError(f'{address}: a scheduler that watches a plateau needs "monitor", the name of a logged value')
    return config


def step_schedulers(
    configs: Sequence[LRSchedulerConfig],
    step: Callable[[Any, float | None], None],
    interval: str,
    count: int,
    plateau: bool,
    values: Mapping[str, float],
) -> None:
    """Step the schedulers that are due.

    Args:
        configs: All schedulers.
        step: Called with the scheduler and the monitored value, or None.
        interval: What just ended: "step" or "epoch".
        count: How many have ended, counted from 1, for schedulers with a frequency.
        plateau: Whether it is the turn of those that watch a value, or of the others.
        values: Newest logged values.

    Raises:
        ValueError: If a monitored value has not been logged and its scheduler is strict.
    """
    for config in configs:
        if config.reduce_on_plateau is not plateau or config.interval != interval or count % config.frequency:
            continue
        if not plateau:
            step(config.scheduler, None)
            continue
        value = values.get(str(config.monitor))
        if value is not None:
            step(config.scheduler, value)
        elif config.strict:
            raise ValueError(
                f"the scheduler {type(config.scheduler).__name__} monitors {config.monitor!r}, which was not logged; "
                f"logged are {sorted(values)}"
            )


def hyper_parameters(optimizers: Sequence[Optimizer]) -> list[list[dict[str, Any]]]:
    """Return what a module has set in its optimizers, for each of their groups; call it before they take a step.

    The learning rate is the one before any scheduler has changed it.
    """
    return [
        [
            {name: _plain(value) for name, value in group.items() if name != "params" and _is_plain(value)}
            | {"lr": _plain(group.get("initial_lr", group["lr"]))}
            for group in optimizer.param_groups
        ]
        for optimizer in optimizers
    ]


def optimizer_states(optimizers: Sequence[Optimizer], schedulers: Sequence[LRSchedulerConfig]) -> dict[str, Any]:
    """The states of optimizers and schedulers, and what they are."""
    return {
        "optimizer_kinds": [type(optimizer).__name__ for optimizer in optimizers],
        "scheduler_kinds": [type(config.scheduler).__name__ for config in schedulers],
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "schedulers": [config.scheduler.state_dict() for config in schedulers],
    }


def load_optimizers(
    address: str,
    optimizers: Sequence[Optimizer],
    schedulers: Sequence[LRSchedulerConfig],
    state: Mapping[str, Any],
    configured: Sequence[Sequence[Mapping[str, Any]]],
) -> None:
    """Restore what `optimizer_states` returned; settings that are `configured` otherwise now are those of now.

    Raises:
        ValueError: If optimizers or schedulers are not of the kinds and sizes that were saved; the message lists them.
    """
    _require_same_kinds(address, "optimizer", [type(optimizer).__name__ for optimizer in optimizers], state)
    _require_same_kinds(address, "scheduler", [type(config.scheduler).__name__ for config in schedulers], state)
    for index, (optimizer, saved) in enumerate(zip(optimizers, state["optimizers"], strict=True)):
        _require_same_groups(f"{address}: its optimizer {index} ({type(optimizer).__name__})", optimizer, saved)
        optimizer.load_state_dict(restored(saved, optimizer.state_dict()))
    for config, saved in zip(schedulers, state["schedulers"], strict=True):
        config.scheduler.load_state_dict(restored(saved, config.scheduler.state_dict()))
    _adopt_changes(optimizers, schedulers, state.get("configured", configured), configured)


def _require_same_kinds(address: str, kind: str, present: Sequence[str], state: Mapping[str, Any]) -> None:
    saved = list(state[f"{kind}_kinds"])
    if saved != list(present):
        raise ValueError(
            f"{address}: configure_optimizers makes {_listed(present, kind)} now, but {_listed(saved, kind)} "
            f"{'was' if len(saved) == 1 else 'were'} saved; make the same ones, or begin a new run"
        )


def _listed(names: Sequence[str], kind: str) -> str:
    return f"{len(names)} {kind}{'' if len(names) == 1 else 's'}" + (f" ({', '.join(names)})" if names else "")


def _require_same_groups(address: str, optimizer: Optimizer, saved: Mapping[str, Any]) -> None:
    before = [len(group["params"]) for group in saved["param_groups"]]
    now = [len(group["params"]) for group in optimizer.param_groups]
    if before != now:
        raise ValueError(
            f"{address} has {len(now)} parameter groups of {now} tensors, but was saved with {len(before)} of "
            f"{before}. "
            "A group that was added during the run (add_param_group) must be there before the state is restored: add "
            "it in configure_optimizers, or in on_load_checkpoint"
        )
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, values in saved["state"].items():
        shape = parameters[int(index)].shape
        for name, value in values.items():
            if name in _SHAPED_LIKE_PARAMETERS and isinstance(value, Tensor) and value.shape != shape:
                raise ValueError(
                    f"{address} was saved with {name} of the shape {tuple(value.shape)} for its tensor {index}, "
                    f"which has the shape {tuple(shape)} now; build the module with the sizes of the run"
                )


def _adopt_changes(
    optimizers: Sequence[Optimizer],
    schedulers: Sequence[LRSchedulerConfig],
    before: Sequence[Sequence[Mapping[str, Any]]],
    now: Sequence[Sequence[Mapping[str, Any]]],
) -> None:
    """Let what a user has changed in the settings of a run count after its optimizers were restored.

    A restored optimizer has the hyper-parameters that it was saved with, whatever the config is by now. Those that
    the module sets otherwise than it did then are set again; a learning rate keeps its place on its schedule.

    Args:
        optimizers, schedulers: Restored.
        before, now: What `hyper_parameters` returned when the run was saved, and returns for this config.
    """
    for optimizer, old_groups, new_groups in zip(optimizers, before, now, strict=True):
        for index, (old, new) in enumerate(zip(old_groups, new_groups, strict=False)):
            group = optimizer.param_groups[index]
            changed = [
                name for name in new if name not in ("lr", "initial_lr") and old.get(name, new[name]) != new[name]
            ]
            group.update({name: _as(new[name], group[name]) for name in changed})
            if old["lr"] != new["lr"]:
                group["lr"] = group["lr"] * new["lr"] / old["lr"] if old["lr"] else new["lr"]
                if "initial_lr" in group:
                    group["initial_lr"] = new["lr"]
                for config in schedulers:
                    _rebase(config.scheduler, optimizer, index, new["lr"])


def _rebase(scheduler: Any, optimizer: Optimizer, index: int, learning_rate: float) -> None:
    """Let a schedule, and those that it consists of, start from another learning rate."""
    if scheduler.optimizer is optimizer:
        for name, value in (("base_lrs", learning_rate), ("_last_lr", optimizer.param_groups[index]["lr"])):
            if index < len(getattr(scheduler, name, ())):
                getattr(scheduler, name)[index] = value
    for part in getattr(scheduler, "_schedulers", ()):
        _rebase(part, optimizer, index, learning_rate)


def _is_plain(value: object) -> bool:
    scalar = value is None or isinstance(value, (bool, int, float, str))
    return scalar or (isinstance(value, (tuple, list)) and all(map(_is_plain, value)))


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _as(value: Any, pattern: object) -> Any:
    return tuple(value) if isinstance(pattern, tuple) else value


def restored(saved: Any, pattern: Any) -> Any:
    """Return a saved state as the types of `pattern`: tuples and counters come back from files as lists and dicts."""
    if isinstance(saved, Tensor):
        return saved.clone()
    if isinstance(pattern, Counter):
        return Counter(saved)
    if isinstance(pattern, tuple):
        return tuple(saved)
    if isinstance(saved, Mapping):
        known = pattern if isinstance(pattern, Mapping) else {}
        return {key: restored(value, known.get(key)) for key, value in saved.items()}
    if isinstance(saved, list):
        known_items = pattern if isinstance(pattern, list) and len(pattern) == len(saved) else [None] * len(saved)
        return [restored(value, item) for value, item in zip(saved, known_items, strict=True)]
    return saved


def parameters_of(optimizers: Sequence[Optimizer]) -> list[Tensor]:
    """Return all parameters that optimizers step."""
    return [parameter for optimizer in optimizers for group in optimizer.param_groups for parameter in group["params"]]
