"""`python -m pamiq_exp`, and the program `pamiq_exp`."""

import os
import signal
import sys

from pamiq_exp.current_folder import forget_current_folder


def main() -> int:
    """Run the command line of this process and return its exit status."""
    forget_current_folder()
    from pamiq_exp.cli import main as command_line
    from pamiq_exp.jobs.signals import STOPS
    from pamiq_exp.streams import Streams

    streams = Streams()
    status = streams.status(command_line())
    for number in STOPS:  # what is left is the interpreter's own end, which a signal would fill with a traceback
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(status))
    return status


if __name__ == "__main__":
    sys.exit(main())
