"""Which checkpoint of a run is the best one so far."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path

from pamiq_exp.files import read_json, write_atomically
from pamiq_exp.run_folder import file_names
from pamiq_exp.runtime.records import RecordStream

logger = logging.getLogger(__name__)


class BestCheckpoint:
    """Notes the checkpoint with the highest value of a metric, in a file among the checkpoints.

    Args:
        folder: The checkpoints.
        metric: Name of a metric of the interaction; None notes nothing.

    Attributes:
        name: Of the best checkpoint so far; None without one.
    """

    def __init__(self, folder: Path, metric: str | None) -> None:
        self._path = folder / file_names.BEST_CHECKPOINT
        self._metric = metric
        self._value = -math.inf
        self.name: str | None = None

    def read(self) -> None:
        """Go on from what an earlier session of the run has noted of the same metric."""
        if self._metric is None:
            return
        try:
            noted = read_json(self._path)
        except OSError:
            return
        if isinstance(noted, dict) and noted.get("metric") == self._metric:
            name, value = noted.get("checkpoint"), noted.get("value")
            if isinstance(name, str) and isinstance(value, float) and (self._path.parent / name).is_dir():
                self.name, self._value = name, value

    def value_in(self, records: RecordStream) -> float:
        """Return the newest value of the metric, see `RecordStream.newest_value`; NaN without a metric."""
        return math.nan if self._metric is None else records.newest_value("interaction", self._metric)

    def note(self, checkpoint: Path, value: float) -> bool:
        """Note a checkpoint if it is better than all before; return whether it is.

        Raises:
            OSError: The folder cannot be written.
        """
        if self._metric is None or not value > self._value:
            return False
        noted = {"checkpoint": checkpoint.name, "metric": self._metric, "value": value}
        write_atomically(self._path, json.dumps(noted) + "\n")
        self.name, self._value = checkpoint.name, value
        return True

    def warn_if_unknown(self, records: RecordStream) -> None:
        """Warn at the end of a run without a value of the metric."""
        if self._metric is not None and self.name is None:
            logger.warning("keep_best: no record has a number interaction/%s; %s", self._metric, _known(records.latest))


def _known(latest: Mapping[str, Mapping[str, object]]) -> str:
    names = sorted(name.removeprefix("interaction/") for name in latest.get("interaction", {}) if "/" in name)
    return f"there are: {', '.join(names) or 'none'}"
