"""What a module logs while it trains, named and averaged as `lightning.Trainer` would do it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch.utilities.data import extract_batch_size
from torch import Tensor
from torchmetrics import Metric, MetricCollection

Loggable = Metric | Tensor | int | float

_PER_STEP = (
    "training_step",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "optimizer_zero_grad",
    "on_before_backward",
    "backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "configure_gradient_clipping",
    "optimizer_step",
)
_PER_EPOCH = (
    "on_train_start",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_validation_start",
    "on_validation_epoch_start",
    "on_validation_epoch_end",
)
_VALIDATION_STEP = ("on_validation_batch_start", "validation_step", "on_validation_batch_end")
_DEFAULTS = dict.fromkeys(_PER_STEP, (True, False)) | dict.fromkeys((*_PER_EPOCH, *_VALIDATION_STEP), (False, True))
"""(on_step, on_epoch) where a call of `self.log` leaves them open; logging anywhere else is an error."""

_REDUCTIONS = {"mean": "mean", "avg": "mean", "sum": "sum", "min": "min", "max": "max"}


class _Kind(NamedTuple):
    on_step: bool
    on_epoch: bool
    reduction: str
    recorded: bool


class _Figure:
    """One name as logged from one hook: the newest value, and what its epoch adds up to."""

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
    Numbers that are no tensors keep the precision of Python. A copy of a recorder, which a copied module
    has, is silent.
    """

    def __init__(self, silent: bool = False) -> None:
        self._silent = silent
        self.hook: str | None = None
        """Name of the module's method under way."""
        self.values: dict[str, float] = {}
        """Newest value of every name: what `monitor` of a scheduler refers to."""
        self.epoch_is_over = False
        """Whether all batches of the epoch have been logged, so that its means can be asked for."""
        self._calls: dict[tuple[object, ...], _Figure] = {}
        """Figures by all that tells one kind of call from another; found without checking again."""
        self._figures: dict[tuple[str, str], _Figure] = {}
        self._marked: dict[tuple[str, str], tuple[float | None, np.floating | None, int, Metric | None]] = {}
        self._fresh: dict[int, _Figure] = {}
        self._waiting: list[tuple[_Figure, Tensor, int]] = []
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
        figure = self._calls.get(call)
        if figure is None:
            figure = self._calls[call] = self._figure(name, logger, on_step, on_epoch, reduce_fx)
        self._fresh[id(figure)] = figure
        weight = self._weight(figure.kind, batch_size) if figure.kind.on_epoch else 1
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(
                    f"self.log({name!r}, ...) got a tensor of shape {tuple(value.shape)}; log a number, like its mean()"
                )
            if value.is_cpu:
                figure.add(value.item(), weight, value.dtype)
            else:
                self._waiting.append((figure, value.detach().clone().reshape(()), weight))
        elif isinstance(value, Metric):
            figure.metric = value
        elif isinstance(value, (Mapping, str)):
            raise ValueError(
                f"self.log({name!r}, ...) got a {type(value).__name__}; log a number, or use self.log_dict for several"
            )
        else:
            figure.add(float(value), weight, torch.float32)

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
    def metrics(self) -> list[Metric]:
        """The torchmetrics that were logged since the epoch began."""
        return [figure.metric for figure in self._figures.values() if figure.metric is not None]

    def current(self) -> dict[str, float]:
        """The newest values, with those of the batch under way, or of the epoch that is ending."""
        self._fetch()
        values = dict(self.values)
        for figure in (self._figures if self.epoch_is_over else self._fresh).values():
            value = figure.of_epoch() if self.epoch_is_over else figure.of_step()
            if value is not None:
                values[figure.name] = values[figure.name_in(epoch=self.epoch_is_over)] = value
        return values

    def mark(self) -> None:
        """Remember what was logged so far, for `roll_back`."""
        self._fetch()
        self._marked = {
            address: (figure.last, figure.total, figure.weight, figure.metric)
            for address, figure in self._figures.items()
        }

    def roll_back(self) -> None:
        """Forget what was logged since `mark`."""
        self._waiting.clear()
        self._fresh.clear()
        for address, figure in self._figures.items():
            before = self._marked.get(address, (None, None, 0, None))
            figure.last, figure.total, figure.weight, figure.metric = before

    def begin_batch(self, batch: Any) -> None:
        """Note the batch: its size weighs the values in the means of an epoch."""
        self._batch, self._batch_size = batch, None

    def end_batch(self, stepped: bool = True) -> dict[str, float]:
        """Return what was logged for this step; nothing while gradients are still being gathered."""
        self._fetch()
        self._batch = None
        figures = {}
        for figure in self._fresh.values():
            value = figure.of_step()
            if value is None:
                continue
            name = figure.name_in(epoch=False)
            self.values[figure.name] = self.values[name] = value
            if figure.kind.recorded:
                figures[name] = value
        if not stepped:
            return {}
        self._fresh.clear()
        return figures

    def end_epoch(self) -> dict[str, float]:
        """Return what the epoch adds up to, and start over."""
        self.epoch_is_over = False
        self._fetch()
        self._fresh.clear()
        figures = {}
        for figure in self._figures.values():
            value = figure.of_epoch()
            figure.restart()
            if value is None:
                continue
            name = figure.name_in(epoch=True)
            self.values[figure.name] = self.values[name] = value
            if figure.kind.recorded:
                figures[name] = value
        return figures

    def _figure(
        self,
        name: str,
        logger: bool | None,
        on_step: bool | None,
        on_epoch: bool | None,
        reduce_fx: str | Callable[..., object],
    ) -> _Figure:
        hook = self.hook
        default = _DEFAULTS.get(hook) if hook is not None else None
        if hook is None or default is None:
            where = f"in {hook}" if hook else "outside of training"
            raise RuntimeError(f"self.log({name!r}, ...) was called {where}; log from training_step or a batch hook")
        reduction = reduce_fx if isinstance(reduce_fx, str) else getattr(reduce_fx, "__name__", "")
        kind = _Kind(
            default[0] if on_step is None else on_step,
            default[1] if on_epoch is None else on_epoch,
            reduction,
            logger is not False,
        )
        kind = _checked(name, hook, kind)
        figure = self._figures.setdefault((hook, name), _Figure(name, kind))
        if figure.kind != kind:
            raise ValueError(f"self.log({name!r}, ...) was called twice in {hook} with different arguments")
        return figure

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
        for (figure, value, weight), number in zip(waiting, numbers, strict=True):
            figure.add(number, weight, value.dtype)


def _checked(name: str, hook: str, kind: _Kind) -> _Kind:
    if not kind.on_step and not kind.on_epoch:
        raise ValueError(f"self.log({name!r}, on_step=False, on_epoch=False) would never be seen; set one of them")
    if kind.on_step and hook in _PER_EPOCH:
        raise ValueError(f"self.log({name!r}, on_step=True) makes no sense in {hook}, which runs once an epoch")
    if kind.reduction.lower() not in _REDUCTIONS:
        raise ValueError(
            f"self.log({name!r}, reduce_fx={kind.reduction!r}): use mean, sum, min or max, or log a torchmetrics.Metric"
        )
    return kind._replace(reduction=_REDUCTIONS[kind.reduction.lower()])
