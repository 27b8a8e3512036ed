"""Lockstep: one thread, virtual time, the same bits every time."""

from __future__ import annotations

import torch

from pamiq_exp.runtime.clock import VirtualClock
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.records import Means
from pamiq_exp.runtime.saving import Saver


def run_lockstep(engine: Engine, clock: VirtualClock, saver: Saver) -> None:
    """After each turn let the trainers that are ready run to their end, in the order of the config.

    Failures are left in the control.
    """
    worker = engine.control.add_worker("lockstep")
    worker.on_pause, worker.on_resume = engine.pause, engine.resume
    worker.begin()
    torch.set_num_threads(engine.config.threads.inference)
    saver.inference = saver.training = worker
    try:
        while worker.safe_point():
            with torch.no_grad():
                engine.turn()
            clock.advance(engine.interaction.interval or 0.0)
            _train(engine, worker)
            saver.save_if_due()
    except BaseException as error:
        engine.control.fail("lockstep", error)
    finally:
        engine.control.remove_worker(worker)
        saver.inference = saver.training = None


def _train(engine: Engine, worker: Worker) -> None:
    engine.fetch_data()
    for name, trainer in engine.trainers.items():
        if trainer.ready():
            torch.set_num_threads(engine.config.threads.training)
            figures = Means()
            for batch_figures in engine.round(name):
                figures.add(batch_figures)
                worker.alive()
            torch.set_num_threads(engine.config.threads.inference)
            engine.publish_rounds({name: figures.result()})
