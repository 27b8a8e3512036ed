"""Ends trials early, by what their runs record while they go on."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from optuna.trial import Trial

from pamiq_exp.files import write_atomically
from pamiq_exp.run_folder.file_names import METRICS, PRUNE
from pamiq_exp.run_folder.reader import Limits, read_run_files

RUNGS = 20
"""At how many evenly spaced points of a run it is compared with others."""

_LOOK_SECONDS = 0.5


class Pruning:
    """Looks at the records of some trials until the context ends, and ends those that are not worth going on.

    The value of a trial at a point is the mean over those of its runs that have begun, once all of these have come so
    far. Progress of a run is measured by its steps or its seconds, whichever limits it.

    Args:
        trials: Each with the numbers of its jobs.
        folder: The sweep's folder.
        metric: What they are compared by; None watches nothing.
    """

    def __init__(self, trials: Sequence[tuple[Trial, Sequence[int]]], folder: Path, metric: str | None) -> None:
        self._watched = [
            (trial, [Curve(folder / str(number), metric or "") for number in jobs]) for trial, jobs in trials
        ]
        self._metric = metric
        self._reported = [0] * len(self._watched)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Pruning:
        if self._metric is not None:
            self._thread = threading.Thread(target=self._watch, name="pruning", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            if kind is None:
                self.look()  # the last points, for those who are compared with this trial later

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Report new points, and end trials that the pruner gives up."""
        for index, (trial, curves) in enumerate(self._watched):
            for curve in curves:
                curve.read()
            begun = [curve for curve in curves if curve.values]
            reached = min((len(curve.values) for curve in begun), default=0)
            for rung in range(self._reported[index], reached):
                value = math.fsum(curve.values[rung] for curve in begun) / len(begun)
                if not math.isfinite(value):
                    continue
                trial.report(value, rung + 1)
                if rung + 1 < RUNGS and trial.should_prune():
                    self._end(curves, f"pruned after {100 * (rung + 1) // RUNGS} %: {self._metric} {value:.4g}")
            self._reported[index] = max(reached, self._reported[index])

    @staticmethod
    def _end(curves: Sequence[Curve], reason: str) -> None:
        for curve in curves:
            curve.folder.mkdir(exist_ok=True)
            if not (curve.folder / PRUNE).exists():
                write_atomically(curve.folder / PRUNE, json.dumps({"reason": reason}) + "\n")


class Curve:
    """The course of one metric of a run that goes on, at evenly spaced points.

    Args:
        folder: The run folder.
        metric: Name of the metric in `metrics.jsonl`.

    Attributes:
        values: The metric at each point that the run has come to.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self.folder = folder
        self.values: list[float] = []
        self._metric = metric
        self._offset = 0
        self._limits: Limits | None = None

    def read(self) -> None:
        """Read what was recorded since the last look."""
        try:
            with open(self.folder / METRICS, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            record = json.loads(line)
            if self._metric in record:
                self._limits = self._limits or read_run_files(self.folder).limits
                fraction = self._limits.fraction(record) or 0.0
                while len(self.values) < RUNGS and fraction >= (len(self.values) + 1) / RUNGS - 1e-9:
                    self.values.append(float(record[self._metric]))
