"""What a module logs while it trains, named and averaged as `lightning.Trainer` would do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from pamiq_exp.lightning_loop.hook_names import LOGGING

Loggable = Metric | Tensor | int | float

_DEFAULTS = {"step": (True, False), "epoch": (False, True), "validation": (False, True)}
"""(on_step, on_epoch) where a call of `self.log` does not set them, by what it belongs to."""

_REDUCTIONS = {"mean": "mean", "avg": "mean", "sum": "sum", "min": "min", "max": "max"}


class _Kind(NamedTuple):
    on_step: bool
    on_epoch: bool
    reduction: str
    recorded: bool


class _LoggedValue:
    """One name as logged from one hook: the newest value, and the total of its epoch."""

    __slots__ = ("kind", "last", "metric", "name", "total", "weight")

    def __init__(self, name: str, kind: _Kind) -> None:
        self.name = name
        self.kind = kind
        self.last: float | None = None
        self.metric: Metric | None = None
        self.total: np.floating | None = None
        self.weight = 0

    def add(self, value: float, weight: int, dtype: torch.dtype) -> None:
        """Take one value. Sums are kept in the precision in which Lightning keeps them, to round alike."""
        self.last = value
        if not self.kind.on_epoch:
            return
        number = np.float64(value) if dtype == torch.float64 else np.float32(value)
        if self.kind.reduction == "mean":
            number = number * weight
            self.weight += weight
        if self.total is None:
            self.total = number
        elif self.kind.reduction in ("mean", "sum"):
            self.total = self.total + number
        else:
            self.total = min(self.total, number) if self.kind.reduction == "min" else max(self.total, number)

    def name_in(self, epoch: bool) -> str:
        """Its name in records of a step, or of an epoch: they differ where it is in both."""
        if not (self.kind.on_step and self.kind.on_epoch):
            return self.name
        return f"{self.name}_{'epoch' if epoch else 'step'}"

    def of_step(self) -> float | None:
        if not self.kind.on_step:
            return None
        if self.metric is None:
            return self.last
        value = self.metric._forward_cache
        return None if value is None else float(value)

    def of_epoch(self) -> float | None:
        if not self.kind.on_epoch:
            return None
        if self.metric is not None:
            return float(self.metric.compute())
        if self.total is None:
            return None
        return float(self.total / np.float32(self.weight) if self.kind.reduction == "mean" else self.total)

    def restart(self) -> None:
        self.total, self.weight = None, 0
        if self.metric is not None:
            self.metric.reset()
            self.metric = None


class LogRecorder:
    """Stands in for `self.log` and `self.log_dict` of a driven module.

    Values on an accelerator are kept there until the batch is over and then fetched in one transfer.
    Numbers that are no tensors keep the precision of Python. The copy of a recorder in a
    copied module records nothing.
    """

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent
        self.hook: str | None = None
        """Name of the module's method under way."""
        self.values: dict[str, float] = {}
        """Newest value of every name: what `monitor` of a scheduler refers to."""
        self.epoch_is_over = False
        """Whether all batches of the epoch have been logged, so that its means can be asked for."""
        self._calls: dict[tuple[object, ...], _LoggedValue] = {}
        """Entries by all that distinguishes one kind of call from another; found without checking again."""
        self._entries: dict[tuple[str, str], _LoggedValue] = {}
        self._marked: dict[tuple[str, str], tuple[float | None, np.floating | None, int, Metric | None]] = {}
        self._fresh: dict[int, _LoggedValue] = {}
        self._waiting: list[tuple[_LoggedValue, Tensor, int]] = []
        self._batch: Any = None
        self._batch_size: int | None = None

    def __deepcopy__(self, memo: dict[int, object]) -> LogRecorder:
        return LogRecorder(silent=True)

    def log(
        self,
        name: str,
        value: Loggable,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., object] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: object = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """See `lightning.LightningModule.log`. What concerns progress bars and several devices is ignored."""
        if self._silent:
            return
        call = (self.hook, name, logger, on_step, on_epoch, reduce_fx)
        entry = self._calls.get(call)
        if entry is None:
            entry = self._calls[call] = self._entry(name, logger, on_step, on_epoch, reduce_fx)
        self._fresh[id(entry)] = entry
        weight = self._weight(entry.kind, batch_size) if entry.kind.on_epoch else 1
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(
                    f"self.log({name!r}, ...) got a tensor of shape {tuple(value.shape)}; log a number, like its mean()"
                )
            if value.is_cpu:
                entry.add(value.item(), weight, value.dtype)
            else:
                self._waiting.append((entry, value.detach().clone().reshape(()), weight))
        elif isinstance(value, Metric):
            entry.metric = value
        elif isinstance(value, (Mapping, str)):
            raise ValueError(
                f"self.log({name!r}, ...) got a {type(value).__name__}; log a number, or use self.log_dict for several"
            )
        else:
            entry.add(float(value), weight, torch.float32)

    def log_dict(
        self,
        dictionary: Mapping[str, Loggable] | MetricCollection,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., object] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: object = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """See `lightning.LightningModule.log_dict`."""
        if isinstance(dictionary, MetricCollection):
            items: Iterator[tuple[str, Loggable]] = iter(dictionary.items(keep_base=False, copy_state=False))
        else:
            items = iter(dictionary.items())
        for name, value in items:
            self.log(
                name,
                value,
                logger=logger,
                on_step=on_step,
                on_epoch=on_epoch,
                reduce_fx=reduce_fx,
                batch_size=batch_size,
            )

    @property
    def torchmetrics(self) -> list[Metric]:
        """The torchmetrics that were logged since the epoch began."""
        return [entry.metric for entry in self._entries.values() if entry.metric is not None]

    def current(self) -> dict[str, float]:
        """The newest values, with those of the batch under way, or of the epoch that is ending."""
        self._fetch()
        values = dict(self.values)
        for entry in (self._entries if self.epoch_is_over else self._fresh).values():
            value = entry.of_epoch() if self.epoch_is_over else entry.of_step()
            if value is not None:
                values[entry.name] = values[entry.name_in(epoch=self.epoch_is_over)] = value
        return values

    def mark(self) -> None:
        """Remember what was logged so far, for `roll_back`."""
        self._fetch()
        self._marked = {
            address: (entry.last, entry.total, entry.weight, entry.metric) for address, entry in self._entries.items()
        }

    def roll_back(self) -> None:
        """Forget what was logged since `mark`."""
        self._waiting.clear()
        self._fresh.clear()
        for address, entry in self._entries.items():
            before = self._marked.get(address, (None, None, 0, None))
            entry.last, entry.total, entry.weight, entry.metric = before

    def begin_batch(self, batch: Any) -> None:
        """Note the batch: its size weighs the values in the means of an epoch."""
        self._batch, self._batch_size = batch, None

    def end_batch(self, stepped: bool = True) -> dict[str, float]:
        """Return what was logged for this step; nothing while gradients are still being gathered."""
        self._fetch()
        self._batch = None
        metrics = {}
        for entry in self._fresh.values():
            value = entry.of_step()
            if value is None:
                continue
            name = entry.name_in(epoch=False)
            self.values[entry.name] = self.values[name] = value
            if entry.kind.recorded:
                metrics[name] = value
        if not stepped:
            return {}
        self._fresh.clear()
        return metrics

    def end_epoch(self) -> dict[str, float]:
        """Return the values of the epoch, and start over."""
        self.epoch_is_over = False
        self._fetch()
        self._fresh.clear()
        metrics = {}
        for entry in self._entries.values():
            value = entry.of_epoch()
            entry.restart()
            if value is None:
                continue
            name = entry.name_in(epoch=True)
            self.values[entry.name] = self.values[name] = value
            if entry.kind.recorded:
                metrics[name] = value
        return metrics

    def _entry(
        self,
        name: str,
        logger: bool | None,
        on_step: bool | None,
        on_epoch: bool | None,
        reduce_fx: str | Callable[..., object],
    ) -> _LoggedValue:
        hook = self.hook
        if hook is None or hook not in LOGGING:
            where = f"in {hook}" if hook else "outside of training"
            raise RuntimeError(f"self.log({name!r}, ...) was called {where}; log from training_step or a batch hook")
        default = _DEFAULTS[LOGGING[hook]]
        reduction = reduce_fx if isinstance(reduce_fx, str) else getattr(reduce_fx, "__name__", "")
        kind = _Kind(
            default[0] if on_step is None else on_step,
            default[1] if on_epoch is None else on_epoch,
            reduction,
            logger is not False,
        )
        kind = _checked(name, hook, kind)
        entry = self._entries.setdefault((hook, name), _LoggedValue(name, kind))
        if entry.kind != kind:
            raise ValueError(f"self.log({name!r}, ...) was called twice in {hook} with different arguments")
        return entry

    def _weight(self, kind: _Kind, batch_size: int | None) -> int:
        if batch_size is not None:
            return batch_size
        if kind.reduction != "mean" or self._batch is None:
            return 1
        if self._batch_size is None:
            self._batch_size = extract_batch_size(self._batch)
        return self._batch_size

    def _fetch(self) -> None:
        """Bring all values that wait on an accelerator over at once."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        numbers = torch.stack([value.double() for _, value, _ in waiting]).tolist()
        for (entry, value, weight), number in zip(waiting, numbers, strict=True):
            entry.add(number, weight, value.dtype)


def _checked(name: str, hook: str, kind: _Kind) -> _Kind:
    if not kind.on_step and not kind.on_epoch:
        raise ValueError(f"self.log({name!r}, on_step=False, on_epoch=False) would never be seen; set one of them")
    if kind.on_step and LOGGING[hook] == "epoch":
        raise ValueError(f"self.log({name!r}, on_step=True) makes no sense in {hook}, which runs once an epoch")
    if kind.reduction.lower() not in _REDUCTIONS:
        raise ValueError(
            f"self.log({name!r}, reduce_fx={kind.reduction!r}): use mean, sum, min or max, or log a torchmetrics.Metric"
        )
    return kind._replace(reduction=_REDUCTIONS[kind.reduction.lower()])
