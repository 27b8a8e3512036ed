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
from pamiq_exp.runtime.pacing import Pacer
from pamiq_exp.runtime.records import Means
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.scheduling import lower_priority, reduced_timer_slack
from pamiq_exp.runtime.streams import own_stream
from pamiq_exp.runtime.watchdog import PATIENCE, stacks

logger = logging.getLogger(__name__)

_TRAINING_PAUSE = 0.002
"""Seconds between two looks at the buffers when new data did not suffice: a trainer that waits for much
data from a fast world should not cost a core."""


class InferenceLoop:
    """Takes turns, at a fixed rate or as fast as they come."""

    def __init__(self, engine: Engine, saver: Saver) -> None:
        self.worker = engine.control.add_worker("inference")
        self._engine = engine
        self._control = engine.control
        self._saver = saver
        interval = engine.interaction.interval
        self._pacer = None if interval is None else Pacer(interval / engine.config.time_scale, engine.config.overrun)
        if self._pacer is not None:
            engine.lateness = self._pacer.lateness
        self.worker.on_pause, self.worker.on_resume = engine.pause, self._resume

    def run(self) -> bool:
        """Take turns until the run ends, on the calling thread; return whether it came to its end by itself."""
        self.worker.begin()
        engine = self._engine
        torch.set_num_threads(engine.config.threads.inference)
        stream = own_stream(engine.device, first=True, separate=engine.config.separate_streams)
        try:
            with torch.no_grad(), reduced_timer_slack(), stream:
                self._take_turns()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and self.worker.interrupted:
                return False  # by the watchdog, because it did not end
            self._control.fail("inference", error)
        finally:
            self._control.remove_worker(self.worker)
        return True

    def _take_turns(self) -> None:
        engine, control, worker, pacer = self._engine, self._control, self.worker, self._pacer
        if pacer is not None:
            pacer.realign()
        while worker.safe_point():
            if pacer is not None and not pacer.wait(worker.disturbed):
                continue
            engine.turn()
            if pacer is not None and not pacer.turn_taken():
                engine.deadline_misses += 1
                engine.skipped_turns = pacer.skipped
            if control.training_waits:
                control.training_waits = False
                control.wake_training.set()
            if self._saver.due_by_steps:
                control.notify()

    def _resume(self) -> None:
        self._engine.resume()
        if self._pacer is not None:
            self._pacer.realign()


class TrainingLoop:
    """Runs the trainers in turn, each a whole round at a time, and sleeps while none is ready."""

    def __init__(self, engine: Engine) -> None:
        self.worker = engine.control.add_worker("training")
        self._engine = engine
        self._control = engine.control

    def run(self) -> None:
        """Body of the training thread."""
        self.worker.begin()
        engine = self._engine
        torch.set_num_threads(engine.config.threads.training)
        lower_priority(engine.config.training_nice)
        try:
            with own_stream(engine.device, first=False, separate=engine.config.separate_streams):
                while self.worker.safe_point():
                    if not self._train_all():
                        self._await_data()
        except BaseException as error:
            self._control.fail("training", error)
        finally:
            self._control.remove_worker(self.worker)

    def _train_all(self) -> bool:
        trained = False
        for name, trainer in self._engine.trainers.items():
            self._engine.fetch_data()
            if trainer.ready():
                trained = True
                if not self._round(name):
                    return True
        return trained

    def _round(self, name: str) -> bool:
        """Run one round; return False if the run stopped in the middle of it."""
        figures = Means()
        batches = self._engine.round(name)
        for batch_figures in batches:
            figures.add(batch_figures)
            if not self.worker.safe_point():
                return False
        self._engine.publish_rounds({name: figures.result()})
        return True

    def _await_data(self) -> None:
        control = self._control
        control.wake_training.clear()
        control.training_waits = True
        if control.stopping or self.worker.disturbed():
            return
        with self.worker.idle():
            control.wake_training.wait()
            time.sleep(_TRAINING_PAUSE)


def run_realtime(engine: Engine, saver: Saver) -> bool:
    """Take turns on the calling thread, with training and saving on others. Failures are left in the control.

    Returns whether all threads have ended; if not, what they own must not be touched.
    """
    inference = InferenceLoop(engine, saver)
    training = TrainingLoop(engine) if engine.trainers else None
    saver.inference, saver.training = inference.worker, training.worker if training else None
    threads = [threading.Thread(target=_save_when_due, args=(engine, saver), name="saving", daemon=True)]
    if training is not None:
        threads.append(threading.Thread(target=training.run, name="training", daemon=True))
    for thread in threads:
        thread.start()
    try:
        ended = inference.run()
    finally:
        engine.control.notify()
        ended_too = _join(threads)
        saver.inference = saver.training = None
    return ended and ended_too


def _save_when_due(engine: Engine, saver: Saver) -> None:
    """Body of the saving thread."""
    try:
        while not engine.control.stopping:
            engine.control.wait(min(1.0, saver.seconds_until_due))
            saver.save_if_due()
    except BaseException as error:
        engine.control.fail("saving", error)


def _join(threads: list[threading.Thread]) -> bool:
    """Wait for the threads to end. After a while say which one hangs, with its stack, and go on."""
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    stuck = [thread.name for thread in threads if thread.is_alive()]
    if stuck:
        logger.error("the threads %s did not end within %.0f s:\n%s", ", ".join(stuck), PATIENCE, stacks())
    return not stuck
