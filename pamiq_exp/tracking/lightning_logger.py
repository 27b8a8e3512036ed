"""TensorBoard, CSV and whatever else Lightning has a logger for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pamiq_exp.media import Media, Picture
from pamiq_exp.run_folder.records import Record, Value
from pamiq_exp.tracking.tracker import RunInfo, Tracker

if TYPE_CHECKING:
    from lightning.fabric.loggers.logger import Logger

_FLUSH_TICKS = 20


class LightningLoggerTracker(Tracker):
    """Hands the records to a Lightning logger, with the environment step as its step.

    Args:
        logger: A Lightning (or Fabric) logger; or something that makes one when it is called with the
            folder as `save_dir`: a class with its other arguments bound, as `_partial_: true` gives it.
        folder: Where a logger that is made here writes, inside the run folder.
    """

    detached = True

    def __init__(self, logger: Logger | Callable[..., Logger], folder: str = "logger") -> None:
        self._given = logger
        self._folder = folder
        self._logger: Logger | None = None
        self._ticks = 0
        self._kept = Path(folder)
        self._seen = False

    def start(self, run: RunInfo) -> None:
        from lightning.fabric.loggers.logger import Logger

        given = self._given
        self._kept = run.folder / self._folder
        self._logger = given if isinstance(given, Logger) else given(save_dir=str(run.folder / self._folder))
        with contextlib.suppress(NotImplementedError):  # Fabric's own CSV logger
            self._logger.log_hyperparams(_flatten(run.config))

    def write(self, record: Record) -> None:
        metrics = {name: float(value) for name, value in record.items() if not isinstance(value, str)}
        self.logger.log_metrics(metrics, step=int(metrics.get("environment_step", 0)))

    def media(self, item: Media, path: Path, environment_step: int) -> None:
        add_image = getattr(getattr(self.logger, "experiment", None), "add_image", None)
        if isinstance(item, Picture) and add_image is not None:
            add_image(item.name, item.pixels, environment_step, dataformats="HWC")

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _FLUSH_TICKS == 0:
            self._save()

    def finish(self, exit_code: int, summary: Mapping[str, Value]) -> None:
        self._save()
        self.logger.finalize("success" if exit_code == 0 else "failed")

    def _save(self) -> None:
        """Let the logger write. Raises OSError if its folder was removed: loggers go on in files that have no name."""
        self.logger.save()
        there = self._kept.exists()
        if self._seen and not there:
            raise FileNotFoundError(f"{self._kept} was moved or removed: what this logger writes from here on is lost")
        self._seen = there

    @property
    def logger(self) -> Logger:
        """The logger; it exists from `start` on."""
        if self._logger is None:
            raise RuntimeError("the tracker was not started")
        return self._logger


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
