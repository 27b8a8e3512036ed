"""Realtime: turns on the caller's thread, where the environment was built, and training beside them on another.

The caller's is the only thread on which an environment may set signal handlers, and what was opened on one thread
(SQLite, an event loop, a window) is used and closed on the same one.
"""

from __future__ import annotations

import logging
import threading
import time

import torch

from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.learner import Learner
from pamiq_exp.runtime.pacing import Pacer
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.scheduling import reduced_timer_slack
from pamiq_exp.runtime.streams import own_stream
from pamiq_exp.runtime.watchdog import STOP_TIMEOUT, stacks
from pamiq_exp.runtime.worker import run_worker

logger = logging.getLogger(__name__)


def run_realtime(engine: Engine, saver: Saver, learner: Learner) -> bool:
    """Take turns on the calling thread, with training and saving beside it. Failures are left in the control.

    Returns whether all threads have ended; if not, what they own must not be touched.
    """
    inference = InferenceLoop(engine, saver)
    training = learner.training()
    threads = [threading.Thread(target=_save_when_due, args=(engine, saver), name="saving", daemon=True)]
    if training is not None:
        threads.append(threading.Thread(target=training.run, name="training", daemon=True))
    with saver.serving(inference.worker, training.worker if training else None):
        for thread in threads:
            thread.start()
        try:
            ended = inference.run()
        finally:
            engine.control.notify()
            all_ended = _join(threads)
    return ended and all_ended


class InferenceLoop:
    """Takes turns, at a fixed rate or as fast as they come."""

    def __init__(self, engine: Engine, saver: Saver) -> None:
        self.worker = engine.control.add_worker("inference", engine.pause, self._resume)
        self._engine = engine
        self._saver = saver
        config, interval = engine.config, engine.interaction.interval
        self._pacer = None
        if interval is not None:
            self._pacer = Pacer(interval / config.time_scale, config.overrun, engine.statistics.lateness)

    def run(self) -> bool:
        """Take turns until the run ends, on the calling thread; return whether it came to its end by itself."""
        return run_worker(self._engine.control, self.worker, self._loop, self._engine.config.threads.inference)

    def _loop(self) -> None:
        engine = self._engine
        stream = own_stream(engine.inference_device, first=True, separate=engine.config.separate_streams)
        with torch.no_grad(), reduced_timer_slack(), stream:
            self._take_turns()

    def _take_turns(self) -> None:
        engine, control, worker, pacer = self._engine, self._engine.control, self.worker, self._pacer
        if pacer is not None:
            pacer.realign()
        while worker.safe_point():
            if pacer is not None and not pacer.wait(worker.interrupted):
                continue
            engine.turn()
            if pacer is not None and not pacer.turn_taken():
                engine.statistics.deadline_misses += 1
                engine.statistics.skipped_turns = pacer.skipped
            control.data_signal.announce()
            if self._saver.due_by_steps:
                control.notify()

    def _resume(self) -> None:
        self._engine.resume()
        if self._pacer is not None:
            self._pacer.realign()


def _save_when_due(engine: Engine, saver: Saver) -> None:
    """Save when it is time, on the saving thread."""
    try:
        while not engine.control.stopping:
            engine.control.wait(min(1.0, saver.seconds_until_due))
            saver.save_if_due()
    except BaseException as error:
        engine.control.fail("saving", error)


def _join(threads: list[threading.Thread]) -> bool:
    """Wait for the threads to end. After a while log which one hangs, with its stack, and go on."""
    deadline = time.monotonic() + STOP_TIMEOUT
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    hanging = [thread.name for thread in threads if thread.is_alive()]
    if hanging:
        logger.error("the threads %s did not end within %.0f s:\n%s", ", ".join(hanging), STOP_TIMEOUT, stacks())
    return not hanging
