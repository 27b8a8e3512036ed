"""The life of a worker's thread, the same in all loops."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

from pamiq_exp.runtime.control import RunControl, TurnGivenUp, Worker
from pamiq_exp.runtime.scheduling import lower_priority

logger = logging.getLogger(__name__)


def begin_worker(worker: Worker, threads: int, niceness: int = 0) -> None:
    """Prepare the calling thread for a worker.

    Args:
        worker: Whose thread this is from now on.
        threads: Threads that torch may use inside one operation.
        niceness: How much its priority is lowered.
    """
    worker.begin()
    torch.set_num_threads(threads)
    lower_priority(niceness)


def run_worker(control: RunControl, worker: Worker, loop: Callable[[], None], threads: int, niceness: int = 0) -> bool:
    """Run the loop of a worker on the calling thread until the run ends.

    What the loop raises ends the run and is left in the control, except for a turn that a signal made fail.
    See `begin_worker` for the other arguments.

    Returns:
        Whether the loop came to its end; False if the watchdog had to interrupt it.
    """
    begin_worker(worker, threads, niceness)
    try:
        loop()
    except TurnGivenUp:
        control.turn_given_up = True
        text = "the turn at which %s came failed; what was learned before is saved"
        logger.warning(text, control.stop_reason, exc_info=True)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and worker.forced_to_end:
            return False
        control.fail(worker.name, error)
    finally:
        control.remove_worker(worker)
    return True
