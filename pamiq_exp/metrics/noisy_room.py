"""How much time is spent in noisy rooms."""

from __future__ import annotations

from pamiq_exp.metrics.pages import PagedMetric, Rows
from pamiq_exp.metrics.tally import Tally


class TimeInNoisyRoom(PagedMetric):
    """Share of the time that bodies spend in rooms in which something is noisy.

    Works where the ground truth has `noisy_room` (whether the room that each body is in holds noise,
    `(lanes,)` bool). Reports `time_in_noisy_room`: in a record since the last one, in the summary over the
    whole run.
    """

    title, needs = "time in the noisy room", ("noisy_room",)
    columns = needs

    def __init__(self) -> None:
        super().__init__()
        self._tally = Tally()

    def count(self, rows: Rows) -> None:
        self._tally.add("time_in_noisy_room", rows["noisy_room"])

    def figures(self) -> dict[str, float]:
        return self._tally.take()

    def final_figures(self) -> dict[str, float]:
        return self._tally.means()
