"""Several processes that train one model together, each on its share of every batch.

The first process leads: it owns data, optimizers and schedulers. The others follow: they compute gradients of their
share with the parameters of the first, and all gradients are summed, weighted by shares. For a loss that is a mean over
rows (weighted by the field `weight`, where a batch has it), that is what one process would train, apart from rounding
and from random numbers.

`DistributedDataParallel` is not used: it steps an optimizer in every process, so that whatever else changes a model
or its optimizer (a trainer, a hook, a resumed checkpoint) would have to happen in all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn

from pamiq_exp.lightning_loop.driven_module import DrivenModule

KindT = TypeVar("KindT")


class Order(NamedTuple):
    """What the leading process asks the others for.

    Attributes:
        action: `join` drives a model, `train` takes a share of a batch.
        model: Name of the model.
        arguments: See `Follower`.
    """

    action: Literal["join", "begin_epoch", "train", "end_epoch"]
    model: str
    arguments: tuple[Any, ...] = ()


class TrainingGroup:
    """The processes that train together, as the driver of a model sees them; this one is alone.

    Attributes:
        size: How many processes there are.
        follows: Whether another process steps the optimizers of this one's models.
        share: The part of the batch under way that this process trains on.
    """

    size = 1
    follows = False
    share = 1.0

    def join(self, driver: DrivenModule) -> None:
        """Let the others drive this model as well. Raises ValueError for one that cannot be trained together."""

    def begin_epoch(self, driver: DrivenModule) -> None:
        """Let the others begin an epoch, with all models as they are here."""

    def split(self, driver: DrivenModule, batch: Any, last: bool) -> Any:
        """Let the others train on their share of a batch, and return that of this process."""
        return batch

    def end_epoch(self, driver: DrivenModule) -> None:
        """Let the others end an epoch."""

    @contextmanager
    def gathering(self, module: nn.Module, loss: Tensor) -> Iterator[Tensor]:
        """Sum the gradients that the body computes of the yielded loss over all processes, and the loss as well."""
        yield loss

    def loss_of(self, loss: Tensor) -> Tensor:
        """Return the loss over the whole batch, once `gathering` is over."""
        return loss.detach()

    def abstain(self, module: nn.Module, failed: bool) -> None:
        """Take part in summing without a loss; that of a share that `failed` is NaN."""

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Make tensors what they are in the leading process."""


class SharedTraining(TrainingGroup):
    """One of several processes in the default group of `torch.distributed`, which exists once they train.

    Args:
        rank: Number of this process; 0 leads.
        size: How many processes there are.
        device: Where this process trains.
        cause: Returns what to raise when another process does not take part any more.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        device: torch.device,
        cause: Callable[[RuntimeError], BaseException] = lambda error: error,
    ) -> None:
        self.size = size
        self.follows = rank > 0
        self._cause = cause
        self._device = device
        self._loss = torch.zeros(())

    @contextmanager
    def gathering(self, module: nn.Module, loss: Tensor) -> Iterator[Tensor]:
        """See `TrainingGroup.gathering`."""
        with self._new_gradients(module) as parameters:
            weighted = loss * self.share
            yield weighted
            self._sum_gradients(parameters, weighted.detach().sum())

    def loss_of(self, loss: Tensor) -> Tensor:
        """See `TrainingGroup.loss_of`."""
        return self._loss

    def abstain(self, module: nn.Module, failed: bool) -> None:
        """See `TrainingGroup.abstain`."""
        with self._new_gradients(module) as parameters:
            self._sum_gradients(parameters, torch.tensor(math.nan if failed else 0.0))
            for parameter in parameters:
                parameter.grad = None

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """See `TrainingGroup.copy_from_first`."""
        if tensors:
            packed = _packed(tensors, self._device)
            self._together(distributed.broadcast, packed, 0)
            if self.follows:
                _unpack(packed, tensors)

    def send(self, tensors: Sequence[Tensor], rank: int) -> None:
        """Send tensors to a process that receives as many bytes."""
        if tensors:
            self._together(distributed.send, _packed(tensors, self._device), rank)

    def receive(self, forms: Sequence[Form]) -> list[Tensor]:
        """Return the tensors that the leading process sends."""
        tensors = [torch.empty(form.shape, dtype=form.dtype, device=self._device) for form in forms]
        if tensors:
            packed = torch.empty(
                sum(tensor.numel() * tensor.element_size() for tensor in tensors),
                dtype=torch.uint8,
                device=self._device,
            )
            self._together(distributed.recv, packed, 0)
            _unpack(packed, tensors)
        return tensors

    @contextmanager
    def _new_gradients(self, module: nn.Module) -> Iterator[list[nn.Parameter]]:
        """Add the gradients that the body computes to earlier ones, which all processes have and none sums again."""
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        earlier = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        yield parameters
        for parameter, gradient in zip(parameters, earlier, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else gradient + parameter.grad

    def _together(self, operation: Callable[..., object], *arguments: object) -> None:
        try:
            operation(*arguments)
        except RuntimeError as error:
            raise self._cause(error) from error

    def _sum_gradients(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
        """Sum gradients and loss over all processes. A gradient that no process has stays None."""
        wide = any(parameter.dtype == torch.float64 for parameter in parameters)
        place = {"device": self._device, "dtype": torch.float64 if wide else torch.float32}
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.to_dense()
            for parameter in parameters
        ]
        present = torch.tensor([parameter.grad is not None for parameter in parameters], **place)  # type: ignore[arg-type]
        flat = torch.cat([*(each.reshape(-1).to(**place) for each in gradients), present, loss.reshape(1).to(**place)])  # type: ignore[call-overload]
        self._together(distributed.all_reduce, flat)
        sizes = [parameter.numel() for parameter in parameters]
        *sums, present, loss = torch.split(flat, [*sizes, len(parameters), 1])
        for parameter, total, count in zip(parameters, sums, present.tolist(), strict=True):
            parameter.grad = total.view_as(parameter).to(parameter.dtype) if count else None
        self._loss = loss[0]


class Leader(SharedTraining):
    """The group as the leading process sees it.

    Args:
        models: All models of the run, by name.
        size, device, cause: See `SharedTraining`.
        post: Sends an order to the process of this rank.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        size: int,
        device: torch.device,
        post: Callable[[int, Order], None],
        cause: Callable[[RuntimeError], BaseException],
    ) -> None:
        super().__init__(0, size, device, cause)
        self._models = models
        self._post = post
        self._others = range(1, self.size)

    def join(self, driver: DrivenModule) -> None:
        """See `TrainingGroup.join`."""
        _require_suits(driver)
        self._order(Order("join", driver.name, (driver.gradients, driver.plan, torch.initial_seed())))

    def begin_epoch(self, driver: DrivenModule) -> None:
        """See `TrainingGroup.begin_epoch`."""
        self._order(Order("begin_epoch", driver.name, (driver.batches, driver.optimizer_steps, driver.epochs)))
        self.copy_from_first(tensors_of(*self._models.values()))

    def split(self, driver: DrivenModule, batch: Any, last: bool) -> Any:
        """See `TrainingGroup.split`. Raises ValueError for a batch with fewer rows than there are processes."""
        if not driver.optimizers:  # statistics, perhaps: those of all rows
            self.share = 1.0
            return batch
        rows = _rows(batch)
        if rows < self.size:
            raise ValueError(
                f"model {driver.name!r}: a batch of {rows} rows cannot be split over launcher.devices={self.size}: "
                "make batches larger or take fewer devices"
            )
        bounds = list(pairwise(rows * rank // self.size for rank in range(self.size + 1)))
        parts = [mapped(batch, Tensor, partial(_slice, rows, begin, end)) for begin, end in bounds]
        shares = _shares(parts, [end - begin for begin, end in bounds])
        for rank in self._others:
            tensors: list[Tensor] = []
            form = mapped(parts[rank], Tensor, partial(_taken, found=tensors))
            self._post(rank, Order("train", driver.name, (shares[rank], form, last)))
            self.send(tensors, rank)
        self.copy_from_first(tensors_of(driver.module))
        self.share = shares[0]
        return parts[0]

    def end_epoch(self, driver: DrivenModule) -> None:
        """See `TrainingGroup.end_epoch`."""
        self._order(Order("end_epoch", driver.name))

    def _order(self, order: Order) -> None:
        for rank in self._others:
            self._post(rank, order)


def tensors_of(*modules: nn.Module) -> list[Tensor]:
    """Return all parameters and buffers of modules, each once."""
    found = {id(tensor): tensor for module in modules for tensor in (*module.parameters(), *module.buffers())}
    return list(found.values())


class Form(NamedTuple):
    """A tensor that follows by itself."""

    shape: torch.Size
    dtype: torch.dtype


def mapped(batch: Any, kind: type[KindT], change: Callable[[KindT], object]) -> Any:
    """Return a batch with everything of a kind replaced, in dicts, lists and tuples."""
    if isinstance(batch, kind):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: mapped(value, kind, change) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(mapped(value, kind, change) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(mapped(value, kind, change) for value in batch)
    return batch


def _shares(parts: Sequence[Any], rows: Sequence[int]) -> list[float]:
    """Return how much each part of a batch counts: its rows, or the sum of their weights where a batch has some."""
    if all(isinstance(part, Mapping) and isinstance(part.get("weight"), Tensor) for part in parts):
        weights = [float(part["weight"].sum()) for part in parts]
        if sum(weights) > 0:
            return [weight / sum(weights) for weight in weights]
    return [count / sum(rows) for count in rows]


def _slice(rows: int, begin: int, end: int, tensor: Tensor) -> Tensor:
    return tensor[begin:end] if tensor.shape[:1] == (rows,) else tensor


def _taken(tensor: Tensor, found: list[Tensor]) -> Form:
    found.append(tensor)
    return Form(tensor.shape, tensor.dtype)


def _rows(batch: Any) -> int:
    """Return the length of the first dimension of a batch."""
    found: list[int] = []
    mapped(batch, Tensor, lambda tensor: found.extend(tensor.shape[:1]))
    return found[0] if found else 0


def _packed(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return tensors as bytes, one after another."""
    rows = [tensor.detach().to(device).reshape(-1) for tensor in tensors]
    # A tensor of one element may have any stride, and only some can be seen as bytes.
    plain = [row if row.stride(0) == 1 else row.clone(memory_format=torch.contiguous_format) for row in rows]
    return torch.cat([row.view(torch.uint8) for row in plain])


@torch.no_grad()
def _unpack(packed: Tensor, tensors: Sequence[Tensor]) -> None:
    """Fill tensors with what `_packed` returned."""
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors]
    for tensor, piece in zip(tensors, torch.split(packed, sizes), strict=True):
        tensor.copy_(piece.clone().view(tensor.dtype).view(tensor.shape))  # a clone begins at a multiple of its size


def _require_suits(driver: DrivenModule) -> None:
    for optimizer in driver.optimizers:
        if isinstance(optimizer, torch.optim.LBFGS):
            raise ValueError(
                f"{driver.address} is trained by LBFGS, which computes gradients several times a step: "
                "launcher.devices=1, or another optimizer"
            )
