"""`python -m pamiq_exp`, and the program `pamiq_exp`."""

import os
import sys
from collections.abc import Callable

from pamiq_exp.current_folder import forget_current_folder


def main() -> int:
    """Run the command line of this process and return its exit status."""
    _open_standard_streams()
    forget_current_folder()
    from pamiq_exp.cli import main as command_line

    return _until_nobody_reads(command_line)


def _open_standard_streams() -> None:
    """Open the streams that whoever started this process has closed: no file of a run may get their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _until_nobody_reads(command_line: Callable[[], int]) -> int:
    """Return the exit status of a command line; that of any program where its reader, such as `head`, has left."""
    import select
    import signal

    try:
        status = command_line()
        sys.stdout.flush()
    except BrokenPipeError:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
        if not any(event & select.POLLERR for _, event in output.poll(0)):
            raise  # another pipe
        _write_nowhere()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if not _is_lost(error):
            raise
        print(f"what this command prints cannot be written: {error.strerror or error}", file=sys.stderr)
        _write_nowhere()
        return 1
    return status


def _is_lost(error: OSError) -> bool:
    """Whether an error is one of writing to standard output: of no file, and it comes again."""
    if error.filename is not None:
        return False
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as again:
        return again.errno == error.errno
    return False


def _write_nowhere() -> None:
    """Let what is still to be printed vanish; the interpreter would complain at its end that nobody reads it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
