"""Base class of trainers, and what the launcher gives them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pamiq_exp.buffers import DataUser
from pamiq_exp.component import Component
from pamiq_exp.media import Media
from pamiq_exp.nonfinite import OnNonfinite
from pamiq_exp.publishable import Model

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from pamiq_exp.lightning_loop.training_group import TrainingGroup

PartT = TypeVar("PartT")


@dataclass(frozen=True)
class TrainingContext:
    """What the launcher gives each trainer.

    Attributes:
        models: The models by name. They stay the same objects for the whole run.
        users: The training end of each buffer, by name.
        fabric: Devices and precision of this run.
        on_nonfinite: What to do on NaN or infinity in a loss or gradient: stop the run or skip the batch.
        version: Returns the newest publication, for trainers that measure how stale their data is.
        max_steps: Environment steps after which the run ends; None for no end.
        group: The processes that train together; None for this one alone.
    """

    models: Mapping[str, Model]
    users: Mapping[str, DataUser]
    fabric: Fabric
    on_nonfinite: OnNonfinite = "stop"
    version: Callable[[], int] | None = None
    max_steps: int | None = None
    group: TrainingGroup | None = None

    def model(self, name: str) -> Model:
        """Return a model. Raises KeyError with the names that exist."""
        return _named(self.models, name, "model")

    def user(self, name: str) -> DataUser:
        """Return the training end of a buffer. Raises KeyError with the names that exist."""
        return _named(self.users, name, "buffer")


class Trainer(Component, ABC):
    """Base class of trainers. All methods run on the training thread.

    The launcher calls `ready` whenever new data may have arrived. If it returns true, it runs the generator
    that `round` returns to its end, publishes the models named in `trains`, and writes what the
    generator yielded to the records. Between two items of the generator the launcher may pause, save or
    stop: yield after every batch, with the module consistent.
    """

    trains: tuple[str, ...] = ()
    """Names of the models that a round changes."""

    def attach(self, context: TrainingContext) -> None:
        """Called by the launcher, once, before `setup`. Raises KeyError for a name that does not exist."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether a round should start now. The call changes nothing."""

    @abstractmethod
    def round(self) -> Iterator[Mapping[str, float]]:
        """Train; yield after each batch with the metrics logged for it (may be empty)."""

    @property
    @abstractmethod
    def training_step(self) -> int:
        """Batches trained since the start of the run, resumes included: the training axis of records."""

    def media(self) -> list[Media]:
        """Return the pictures that are ready, and forget them."""
        return []

    def summary(self) -> dict[str, float]:
        """Return final metrics for `summary.json`."""
        return {}


def _named(parts: Mapping[str, PartT], name: str, kind: str) -> PartT:
    try:
        return parts[name]
    except KeyError:
        raise KeyError(f"there is no {kind} {name!r}; there are {sorted(parts)}") from None
