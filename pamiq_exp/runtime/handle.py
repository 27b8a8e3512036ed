"""A live run, to be watched and steered from outside."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pamiq_exp.component import components
from pamiq_exp.interaction import Turn
from pamiq_exp.interaction.live_view import LiveView
from pamiq_exp.runtime.control import RunControl
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.saving import Saver

logger = logging.getLogger(__name__)

Status = dict[str, float | int | str | None]

WATCHED_SECONDS = 10.0
"""How long after the newest request for a view the run goes on keeping its newest turn."""


class RunHandle:
    """Watches and steers one run. Every method may be called from any thread and answers with the result."""

    def __init__(self, engine: Engine, control: RunControl, saver: Saver) -> None:
        self._engine = engine
        self._control = control
        self._saver = saver
        self._view = LiveView()
        self._viewed_at = 0.0
        self._intervened = False

    def status(self) -> Status:
        """Return how the run is: its state, counters, and rates since the last call."""
        last = self._saver.last
        return {
            "state": self._state(),
            **({"intervened": 1} if self._intervened else {}),
            **self._engine.statistics.status(),
            "last_checkpoint": last.name if last is not None else None,
        }

    def last_records(self) -> dict[str, Mapping[str, float | int | str]]:
        """Return the newest record of each source."""
        return dict(self._engine.records.latest)

    def view(self) -> list[dict[str, Any]]:
        """Return the newest pictures as `LiveView.read` does; none at the first call, which begins to keep them.

        The agent's thread keeps a reference to its newest turn as long as this is called now and then, and it never
        waits: pictures are made on the thread of the caller.
        """
        self._viewed_at = time.monotonic()
        self._engine.interaction.watcher = self._keep
        return self._view.read()

    def _keep(self, turn: Turn) -> None:
        try:
            self._view.take(turn)
        except Exception:
            logger.exception("the live view ended: this turn cannot be shown; the run goes on")
            self._engine.interaction.watcher = None
        if time.monotonic() - self._viewed_at > WATCHED_SECONDS:
            self._engine.interaction.watcher = None

    def pause(self, timeout: float = 10.0) -> bool:
        """Pause the run; return whether every thread had parked in time."""
        return self._control.pause(timeout)

    def resume(self) -> None:
        """Let a paused run go on."""
        self._control.resume()

    def save(self) -> Path | None:
        """Save a checkpoint now, also during a pause; return where, or None if it failed (see the log)."""
        return self._saver.save()

    def stop(self) -> None:
        """Let the run save and end."""
        self._control.stop("stopped", "console")

    def intervene(self, timeout: float = 10.0) -> bool | None:
        """Let a person take over what moves, or give it back to the agent.

        Returns whether a person acts now; None if nothing in this run lets a person do so.

        Raises:
            TimeoutError: The agent's thread did not come to its next turn in time.
        """
        worker = next((each for each in self._control.workers if each.on_pause is not None), None)
        if worker is None:
            return None
        wanted, done = not self._intervened, threading.Event()
        found: list[bool] = []

        def task() -> None:
            found.extend(part.on_intervene(wanted) for _, part in components(self._engine.interaction))
            done.set()

        worker.ask(task)
        if not done.wait(timeout):
            raise TimeoutError(f"the agent's thread did not come to its next turn within {timeout:g} s")
        if not any(found):
            return None
        self._intervened = wanted
        logger.warning("a person has taken over" if wanted else "the agent acts again")
        return wanted

    def _state(self) -> str:
        if self._control.stopping:
            return "stopping"
        if self._control.pause_requested:
            return "paused" if self._control.paused else "pausing"
        return "running"
