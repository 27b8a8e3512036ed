"""Pipelined: training rounds overlap the turns that follow, and the run still repeats bit for bit."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch

from pamiq_exp.component import State
from pamiq_exp.runtime.clock import VirtualClock
from pamiq_exp.runtime.control import Worker
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.records import Means
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.scheduling import lower_priority


@dataclass
class _Round:
    """Rounds under way, of all trainers that were ready at the same turn.

    Attributes:
        names: The trainers, in the order of the config.
        due: The turn after which the result is published, neither earlier nor later.
        future: Their mean figures, once they are done.
    """

    names: list[str]
    due: int
    future: Future[list[dict[str, float]]]


class PipelinedLoop:
    """Turns on the caller's thread, rounds on another.

    When trainers are ready after turn t, they train on what the buffers hold then, while turns t + 1 to
    t + D are taken; after turn t + D the loop waits for them, publishes, and looks which are ready next.
    Training never sees data that came after t and inference sees the result at a fixed turn, so that
    nothing depends on how fast either thread is.
    """

    def __init__(self, engine: Engine, clock: VirtualClock, saver: Saver) -> None:
        self._engine = engine
        self._clock = clock
        self._saver = saver
        self._depth = engine.config.overlap_turns
        self._round: _Round | None = None
        engine.settle_training = self._settle
        self._training = engine.control.add_worker("training", parks=False)
        self._training.waiting = True
        self._worker = engine.control.add_worker("pipelined")
        self._executor = ThreadPoolExecutor(1, "training", self._begin_training)

    def run(self) -> None:
        """Take turns until the run ends. Failures are left in the control."""
        engine = self._engine
        torch.set_num_threads(engine.config.threads.inference)
        worker = self._worker
        worker.on_pause, worker.on_resume = engine.pause, engine.resume
        worker.begin()
        self._saver.inference = self._saver.training = worker
        try:
            self._resume_round()
            self._take_turns(worker)
        except BaseException as error:
            engine.control.fail("pipelined", error)
        finally:
            engine.control.remove_worker(worker)
            self._saver.inference = self._saver.training = None
            self._executor.shutdown(wait=True)
            engine.control.remove_worker(self._training)

    def _take_turns(self, worker: Worker) -> None:
        engine = self._engine
        while worker.safe_point():
            with torch.no_grad():
                engine.turn()
            self._clock.advance(engine.interaction.interval or 0.0)
            if self._round is not None and engine.turns >= self._round.due:
                self._publish(self._round)
            if self._round is None:
                self._begin()
            self._saver.save_if_due()

    def _begin(self) -> None:
        engine = self._engine
        engine.fetch_data()
        names = [name for name, trainer in engine.trainers.items() if trainer.ready()]
        if names:
            self._round = _Round(names, engine.turns + self._depth, self._executor.submit(self._train, names))

    def _begin_training(self) -> None:
        torch.set_num_threads(self._engine.config.threads.training)
        lower_priority(self._engine.config.training_nice)
        self._training.begin()

    def _train(self, names: list[str]) -> list[dict[str, float]]:
        results = []
        self._training.alive()
        self._training.waiting = False
        try:
            for name in names:
                figures = Means()
                for batch_figures in self._engine.round(name):
                    figures.add(batch_figures)
                    self._training.alive()
                results.append(figures.result())
        finally:
            self._training.waiting = True
        return results

    def _publish(self, finished: _Round) -> None:
        results = self._result(finished)
        self._round = None
        self._engine.publish_rounds(dict(zip(finished.names, results, strict=True)))

    def _result(self, finished: _Round) -> list[dict[str, float]]:
        try:
            with self._worker.idle():  # the training thread gives signs of life meanwhile
                return finished.future.result()
        except BaseException as error:
            self._engine.control.fail("training", error)
            raise

    def _settle(self) -> State | None:
        """Before a save: let the round end, and say what of it is still to be published, and when."""
        if self._round is None:
            return None
        results = self._result(self._round)
        return {"names": self._round.names, "due": self._round.due, "results": results}

    def _resume_round(self) -> None:
        """Go on with a round that was done but not yet published when the run was saved."""
        pending = self._engine.pending_round
        if pending is not None:
            future: Future[list[dict[str, float]]] = Future()
            future.set_result(pending["results"])
            self._round = _Round(pending["names"], pending["due"], future)
            self._engine.pending_round = None
