"""Sequential: one thread and the wall clock, as a comparison: the next turn waits until learning is done."""

from __future__ import annotations

from pamiq_exp.interaction import Environment
from pamiq_exp.runtime.engine import Engine
from pamiq_exp.runtime.pacing import Pacer
from pamiq_exp.runtime.saving import Saver
from pamiq_exp.runtime.scheduling import reduced_timer_slack, torch_threads
from pamiq_exp.runtime.worker import run_worker


def run_sequential(engine: Engine, saver: Saver) -> None:
    """After each turn let the trainers that are ready run to their end, in the order of the config.

    The environment goes on meanwhile, if it does so by itself (see `require_going_on`), and late turns count as
    deadline misses. Failures are left in the control.
    """
    interval = engine.interaction.interval
    config, statistics = engine.config, engine.statistics
    pacer = None if interval is None else Pacer(interval / config.time_scale, config.overrun, statistics.lateness)

    def resume() -> None:
        engine.resume()
        if pacer is not None:
            pacer.realign()

    worker = engine.control.add_worker("sequential", engine.pause, resume)

    def loop() -> None:
        if pacer is not None:
            pacer.realign()
        while worker.safe_point():
            if pacer is not None and not pacer.wait(worker.interrupted):
                continue
            engine.turn()
            engine.fetch_data()
            for name, trainer in engine.trainers.items():
                if trainer.ready():
                    with torch_threads(config.threads.training):
                        metrics = engine.train(name, worker.heartbeat)
                    engine.publish({name: metrics})
            if pacer is not None and not pacer.turn_taken():
                statistics.deadline_misses += 1
                statistics.skipped_turns = pacer.skipped
            saver.save_if_due()

    with saver.serving(worker, worker), reduced_timer_slack():
        run_worker(engine.control, worker, loop, config.threads.inference)


def require_going_on(environment: Environment) -> None:
    """Raise ValueError for several environments that wait for their agent."""
    goes_on = environment.live or environment.free_running or environment.own_interval is not None
    if environment.num_envs > 1 and not goes_on:
        raise ValueError(
            f"launcher.mode: sequential lets the environment go on while the agent learns, but these "
            f"{environment.num_envs} environments wait for it: environment.free_running=true, num_envs=1, or "
            "launcher=lockstep for a world that waits"
        )
