"""How much time is spent in noisy rooms."""

from __future__ import annotations

from pamiq_exp.interaction import Turn
from pamiq_exp.metrics.tally import Tally
from pamiq_exp.metrics.truth_metric import TruthMetric


class TimeInNoisyRoom(TruthMetric):
    """Share of the time that bodies spend in rooms in which something is noisy.

    Works where the ground truth has `noisy_room` (whether the room that each body is in holds noise,
    `(lanes,)` bool). Reports `time_in_noisy_room`: in a record since the last one, in the summary over the
    whole run.
    """

    title, needs = "time in the noisy room", ("noisy_room",)

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def watch(self, turn: Turn) -> None:
        self._tally.add("time_in_noisy_room", turn.ground_truth["noisy_room"])

    def report(self) -> dict[str, float]:
        return self._tally.take()

    def summary(self) -> dict[str, float]:
        return self._tally.means()
