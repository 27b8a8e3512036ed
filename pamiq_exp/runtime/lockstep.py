"""Lockstep: one thread, virtual time, the same bits every time."""

from __future__ import annotations

from pamiq_exp.runtime.clock import VirtualClock
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.scheduling import torch_threads
from pamiq_exp.runtime.worker import run_worker


def run_lockstep(engine: Engine, clock: VirtualClock, saver: Saver) -> None:
    """After each turn let the trainers that are ready run to their end, in the order of the config.

    Failures are left in the control.
    """
    worker = engine.control.add_worker("lockstep", engine.pause, engine.resume)
    threads = engine.config.threads

    def loop() -> None:
        while worker.safe_point():
            engine.turn()
            clock.advance(engine.interaction.interval or 0.0)
            engine.fetch_data()
            for name, trainer in engine.trainers.items():
                if trainer.ready():
                    with torch_threads(threads.training):
                        metrics = engine.train(name, worker.heartbeat)
                    engine.publish({name: metrics})
            saver.save_if_due()

    with saver.serving(worker, worker):
        run_worker(engine.control, worker, loop, threads.inference)
