"""Training beside the agent: on a thread of its own, in the same process or another one."""

from __future__ import annotations

import time

from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.records import Means
from pamiq_exp.runtime.streams import own_stream
from pamiq_exp.runtime.worker import run_worker

_TRAINING_PAUSE = 0.002
"""Seconds between two looks at the buffers when new data did not suffice: a trainer that waits for much
data from a fast environment should not cost a core."""


class TrainingLoop:
    """Runs the trainers in turn, each a whole round at a time, and sleeps while none is ready."""

    def __init__(self, engine: Engine) -> None:
        self.worker = engine.control.add_worker("training")
        self._engine = engine

    def run(self) -> None:
        """Train until the run ends, on the training thread."""
        config = self._engine.config
        run_worker(self._engine.control, self.worker, self._loop, config.threads.training, config.training_nice)

    def _loop(self) -> None:
        engine = self._engine
        with own_stream(engine.device, first=False, separate=engine.config.separate_streams):
            while self.worker.safe_point():
                if not self._train_all():
                    self._wait_for_data()

    def _train_all(self) -> bool:
        """Let each trainer that is ready run a round; return whether any did."""
        engine = self._engine
        trained = False
        for name, trainer in engine.trainers.items():
            engine.fetch_data()
            if trainer.ready():
                trained = True
                if not self._train(name):
                    return True
        return trained

    def _train(self, name: str) -> bool:
        """Run one round and publish it; return False if the run stopped in the middle of it."""
        means = Means()
        for metrics in self._engine.round(name):
            means.add(metrics)
            if not self.worker.safe_point():
                return False
        self._engine.publish({name: means.result()})
        return True

    def _wait_for_data(self) -> None:
        signal = self._engine.control.data_signal
        signal.prepare()
        if self.worker.interrupted():
            return
        with self.worker.idle():
            signal.wait()
            time.sleep(_TRAINING_PAUSE)
