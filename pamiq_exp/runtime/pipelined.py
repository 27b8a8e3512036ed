"""Pipelined: training rounds overlap the turns that follow, and the run still repeats bit for bit."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from pamiq_exp.component import State
from pamiq_exp.runtime.clock import VirtualClock
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.worker import begin_worker, run_worker

Metrics = dict[str, float]


@dataclass
class _Round:
    """Rounds under way, of all trainers that were ready at the same turn.

    Attributes:
        names: The trainers, in the order of the config.
        due: The turn after which the result is published, neither earlier nor later.
        future: Their mean metrics, once they are done.
    """

    names: list[str]
    due: int
    future: Future[list[Metrics]]


class PipelinedLoop:
    """Turns on the caller's thread, rounds on another.

    When trainers are ready after turn t, they train on what the buffers hold then, while turns t + 1 to
    t + D are taken; after turn t + D the loop waits for them, publishes, and looks which are ready next.
    Training never sees data that came after t and inference sees the result at a fixed turn, so that
    nothing depends on how fast either thread is.

    Args:
        engine: What is run.
        clock: Moves by an interval with each turn.
        saver: Saves between turns.
        pending: A round that was done but not yet published when the run was saved that this one resumes.
    """

    def __init__(self, engine: Engine, clock: VirtualClock, saver: Saver, pending: State | None = None) -> None:
        self._engine = engine
        self._clock = clock
        self._saver = saver
        self._round = None if pending is None else _finished_round(pending)
        self._worker = engine.control.add_worker("pipelined", engine.pause, engine.resume)
        self._training = engine.control.add_worker("training", parks=False)
        self._training.waiting = True

    def run(self) -> None:
        """Take turns until the run ends. Failures are left in the control."""
        config, control = self._engine.config, self._engine.control
        threads = config.threads
        begin = (self._training, threads.training, config.training_nice)
        with (
            ThreadPoolExecutor(1, "training", begin_worker, begin) as self._executor,
            self._saver.serving(self._worker, self._worker, self._pending_round),
        ):
            run_worker(control, self._worker, self._take_turns, threads.inference)
        control.remove_worker(self._training)

    def _take_turns(self) -> None:
        engine = self._engine
        while self._worker.safe_point():
            engine.turn()
            self._clock.advance(engine.interaction.interval or 0.0)
            if self._round is not None and engine.statistics.turns >= self._round.due:
                self._publish(self._round)
            if self._round is None:
                self._begin_round()
            self._saver.save_if_due()

    def _begin_round(self) -> None:
        engine = self._engine
        engine.fetch_data()
        names = [name for name, trainer in engine.trainers.items() if trainer.ready()]
        if names:
            due = engine.statistics.turns + engine.config.overlap_turns
            self._round = _Round(names, due, self._executor.submit(self._train, names))

    def _train(self, names: list[str]) -> list[Metrics]:
        """Run the rounds, on the training thread."""
        self._training.heartbeat()
        self._training.waiting = False
        try:
            return [self._engine.train(name, self._training.heartbeat) for name in names]
        finally:
            self._training.waiting = True

    def _publish(self, finished: _Round) -> None:
        results = self._result(finished)
        self._round = None
        self._engine.publish(dict(zip(finished.names, results, strict=True)))

    def _result(self, finished: _Round) -> list[Metrics]:
        try:
            with self._worker.idle():  # the heartbeat is the training thread's meanwhile
                return finished.future.result()
        except BaseException as error:
            self._engine.control.fail("training", error)
            raise

    def _pending_round(self) -> State | None:
        """Before a save: let the round end, and return what of it is still to be published, and when."""
        if self._round is None:
            return None
        results = self._result(self._round)
        return {"names": self._round.names, "due": self._round.due, "results": results}


def _finished_round(pending: State) -> _Round:
    future: Future[list[Metrics]] = Future()
    future.set_result(pending["results"])
    return _Round(pending["names"], pending["due"], future)
