"""Pausing, tasks and stopping, from any thread."""

from __future__ import annotations

import threading
import time

import pytest

from pamiq_exp.runtime.control import RunControl, Worker
from pamiq_exp.runtime.watchdog import Watchdog


class Stepper(threading.Thread):
    """A worker whose step is visible from outside."""

    def __init__(self, control: RunControl, seconds: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.worker: Worker = control.add_worker("stepper")
        self.control = control
        self.seconds = seconds
        self.stepping = False
        self.steps = 0

    def run(self) -> None:
        while self.worker.safe_point():
            self.stepping = True
            if self.seconds:
                time.sleep(self.seconds)
            self.steps += 1
            self.stepping = False
        self.control.remove_worker(self.worker)


def test_control_runs_no_step_while_paused() -> None:
    control = RunControl()
    steppers = [Stepper(control), Stepper(control, seconds=1e-4)]
    for stepper in steppers:
        stepper.start()
    for _ in range(10_000):
        assert control.pause(timeout=5.0)
        assert control.paused
        before = [stepper.steps for stepper in steppers]
        assert not any(stepper.stepping for stepper in steppers)
        assert [stepper.steps for stepper in steppers] == before
        control.resume()
    control.stop("stopped", "test")
    for stepper in steppers:
        stepper.join(5.0)
        assert not stepper.is_alive()


def test_control_runs_a_task_at_a_safe_point_even_while_paused() -> None:
    control = RunControl()
    stepper = Stepper(control)
    stepper.start()
    for paused in (False, True):
        if paused:
            assert control.pause(timeout=5.0)
        done = threading.Event()
        during: list[tuple[str, bool]] = []

        def task(done: threading.Event = done, during: list[tuple[str, bool]] = during) -> None:
            during.append((threading.current_thread().name, stepper.stepping))
            done.set()

        stepper.worker.ask(task)
        assert done.wait(5.0)
        assert during == [(stepper.name, False)]
    assert control.paused
    control.stop("stopped", "test")
    stepper.join(5.0)
    assert not stepper.is_alive()


def test_control_pauses_without_a_removed_worker() -> None:
    control = RunControl()
    worker = control.add_worker("ending")
    threading.Timer(0.1, control.remove_worker, [worker]).start()
    assert control.pause(timeout=5.0)


def test_control_keeps_the_first_stop_unless_a_failure_follows() -> None:
    control = RunControl()
    control.stop("finished", "steps")
    control.stop("stopped", "later")
    assert (control.stop_state, control.stop_reason, control.exit_code) == ("finished", "steps", 0)
    control.fail("training", ValueError("boom"))
    control.fail("inference", ValueError("afterwards"))
    assert control.stop_state == "failed"
    assert control.exit_code == 1
    assert control.failure is not None
    assert control.failure.thread == "training"


def test_control_exit_codes_of_signals_are_those_of_a_shell() -> None:
    for name, code in (("SIGTERM", 143), ("SIGINT", 130)):
        control = RunControl()
        control.stop_from_signal(name)
        assert control.exit_code == code


def test_watchdog_reports_a_hanging_worker_once_with_all_stacks(caplog: pytest.LogCaptureFixture) -> None:
    control = RunControl()
    worker = control.add_worker("hanging")
    watchdog = Watchdog(control, seconds=1.0)
    watchdog.look()
    assert caplog.text == ""
    worker.last_heartbeat -= 2.0
    watchdog.look()
    watchdog.look()
    assert caplog.text.count("the hanging thread has given no heartbeat") == 1
    assert "test_watchdog_reports_a_hanging_worker_once" in caplog.text
    with worker.idle():
        worker.last_heartbeat -= 100.0
        watchdog.look()
    assert caplog.text.count("no heartbeat") == 1
