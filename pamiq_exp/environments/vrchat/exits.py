"""A function that is called when the program ends, also by a signal."""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Callable
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a program without its exit handlers, unless it is handled: a kill, a closed terminal."""


class OnExit:
    """Calls a function when the program ends, short of being killed outright.

    Signals are taken only where nothing else handles them; they end the program like `sys.exit`, with the status that a
    shell gives.

    Args:
        action: What is to be done. Called once or more often.
    """

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def arm(self) -> None:
        """From now on."""
        atexit.register(self._action)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _leave)

    def disarm(self) -> None:
        """No longer."""
        atexit.unregister(self._action)
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) is _leave:
                    signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
